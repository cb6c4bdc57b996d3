"""vLLM engines in processes of their own, spoken to through pipes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

from icr.errors import RunError
from icr.sampling.engine_sampler import Answer, Request
from icr.sampling.probe import Probe

WORKER = Path(__file__).with_name("vllm_worker.py")
PATIENCE = 45.0
"""Seconds that a worker has to end by itself."""
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK")
"""What launchers tell the processes of a distributed training about themselves, which is not about a worker."""

Messages: TypeAlias = "queue.SimpleQueue[tuple[Worker, dict[str, Any] | None]]"
"""What workers say, each of them `None` in the end."""


class WorkerPool:
    """Workers with the same model, started together. Requests are dealt out by length, so that all end at once."""

    def __init__(
        self,
        command: Sequence[str],
        engine: Mapping[str, Any],
        adapter: str | None,
        environments: Sequence[Mapping[str, str]],
        probe: Probe,
    ):
        """Start a worker for each environment and see that it holds the weights.

        Args:
            command: interpreter and script.
            engine: vLLM's `EngineArgs`.
            adapter: folder of a LoRA adapter over `engine["model"]`, or None.
            environments: variables of each worker beside those of this process.

        Raises:
            RunError: one does not start, or holds other weights.
        """
        self.messages: Messages = queue.SimpleQueue()
        self.workers: list[Worker] = []
        try:
            for environment in environments:
                self.workers.append(Worker(command, environment, self.messages))
                self.workers[-1].send({"engine": dict(engine), "adapter": adapter})
            waiting = len(self.workers)
            while waiting:
                waiting -= "ready" in self._next()[1]
            self._verify(probe)
        except BaseException:
            self.close()
            raise

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Index and answer of each request, in the order in which they are finished.

        Raises:
            RunError: a worker died; the message quotes the end of its log.
        """
        longest_first = sorted(range(len(requests)), key=lambda i: -len(requests[i].prompt_ids))
        for place, index in enumerate(longest_first):
            request = requests[index]
            message = {"id": str(index), "prompt": request.prompt_ids, "params": request.params}
            self.workers[place % len(self.workers)].send(message)
        for _ in requests:
            answer = self._next()[1]
            yield int(answer["id"]), [(ids, reason) for ids, reason in answer["responses"]]

    def close(self) -> None:
        """End all workers, and delete the logs of those that did well."""
        for worker in self.workers:
            worker.hang_up()
        for worker in self.workers:
            worker.end()

    def _verify(self, probe: Probe) -> None:
        params = {"prompt_logprobs": 0, "max_tokens": 1, "temperature": 0.0}
        for worker in self.workers:
            rows = []
            for ids in probe.prompts:  # One by one: vLLM 0.32 cannot do two at a time under an adapter.
                worker.send({"id": "probe", "prompt": ids, "params": params})
                rows.append(self._next()[1]["prompt_logps"])
            probe.check(rows, "The vLLM process")

    def _next(self) -> tuple[Worker, dict[str, Any]]:
        worker, message = self.messages.get()
        if message is None or "error" in message:
            raise RunError(worker.failure_message(message))
        return worker, message


class Worker:
    """One process, its pipes and its log."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], messages: Messages):
        descriptor, log = tempfile.mkstemp(prefix="icr-vllm-", suffix=".log")
        self.log, self.failed = Path(log), False
        inherited = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
        with os.fdopen(descriptor, "wb") as errors:
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**inherited, "VLLM_NO_USAGE_STATS": "1", **environment},
                text=True,
                encoding="utf-8",
                # A group of its own: Ctrl-C reaches this process alone, and the engine's processes end with it.
                start_new_session=True,
            )
        self.input, self.output = _pipes(self.process)
        threading.Thread(target=self._listen, args=(messages,), daemon=True).start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one line; that the worker is gone is heard from its output."""
        with contextlib.suppress(BrokenPipeError):
            self.input.write(json.dumps(message) + "\n")
            self.input.flush()

    def hang_up(self) -> None:
        """Close the worker's input, at which it ends."""
        with contextlib.suppress(BrokenPipeError):
            self.input.close()

    def end(self) -> None:
        """Wait until it has ended, or make it."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._kill()
        if not self.failed:
            self.log.unlink(missing_ok=True)

    def failure_message(self, last: dict[str, Any] | None) -> str:
        """One paragraph about why it failed."""
        self.failed = True
        if last:
            cause = last["error"]
        else:
            status = self.process.wait()
            how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
            lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            cause = f"it {how}; its last words: {' '.join(lines[-2:])[-500:] or 'none'}"
            self._kill()
        return (
            f"The vLLM process failed: {cause.rstrip('.')}. Its log is {self.log}. The same command goes on from here: "
            f"finished parts are kept."
        )

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _listen(self, messages: Messages) -> None:
        for line in self.output:
            messages.put((self, json.loads(line)))
        messages.put((self, None))


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process was started without pipes")
    return process.stdin, process.stdout
