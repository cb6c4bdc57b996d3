"""A vLLM engine in a process of its own, spoken to through pipes in lines of JSON (`vllm_worker.py`)."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TypeAlias

from icr.errors import RunError
from icr.sampling.printable import printable

WORKER = Path(__file__).with_name("vllm_worker.py")
PATIENCE = 45.0
"""Seconds that a worker has to end by itself."""
LONGEST = 2**28
"""Characters of a line, some hundred times those of many long responses."""
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK")
"""What launchers tell the processes of a distributed training about themselves, which is not about a worker."""

Lines: TypeAlias = "queue.SimpleQueue[tuple[Worker, str]]"
"""What workers say; the last of each does not end in a newline, and is empty where it said all that it wanted."""


class Worker:
    """One process, its pipes and its log."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], lines: Lines):
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
                errors="replace",
                # A group of its own: Ctrl-C reaches this process alone, and the engine's processes end with it.
                start_new_session=True,
            )
        self.input, self.output = _pipes(self.process)
        self.outbox: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(lines,), daemon=True).start()
        # One that does not read must not keep us from hearing what it says.
        threading.Thread(target=self._speak, daemon=True).start()

    def send(self, message: Mapping[str, object]) -> None:
        """Write one line, some time; that the worker is gone is heard from its output."""
        self.outbox.put(json.dumps(message) + "\n")

    def read(self, line: str) -> dict[str, object]:
        """The message in a line that it said.

        Raises:
            RunError: it is the worker's last, tells an error, or is no message.
        """
        if not line.endswith("\n"):
            raise self._failure(self._end(line)) if len(line) < LONGEST else self.unexpected(line)
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = line
        if not isinstance(message, dict):
            raise self.unexpected(message)
        if "error" in message:
            raise self._failure(printable(message["error"], limit=2000))
        return message

    def unexpected(self, message: object) -> RunError:
        """An error about a message that does not belong here; the worker is killed, for it cannot be understood."""
        self._kill()
        return self._failure(f"it says {printable(message)!r}, which is not what was asked for")

    def hang_up(self) -> None:
        """Close the worker's input, at which it ends."""
        self.outbox.put(None)

    def end(self) -> None:
        """Wait until it has ended, or make it."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._kill()
        if not self.failed:
            self.log.unlink(missing_ok=True)

    def _end(self, unfinished: str) -> str:
        """How it ended, after it has closed its output."""
        try:
            status = self.process.wait(PATIENCE)
            how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        except subprocess.TimeoutExpired:
            how = "closed its output"
        self._kill()
        within = f" in the middle of the line {printable(unfinished, limit=80)!r}" if unfinished else ""
        words = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return f"it {how}{within}; its last words: {' '.join(words[-2:])[-500:] or 'none'}"

    def _failure(self, cause: str) -> RunError:
        self.failed = True
        return RunError(
            f"The vLLM process failed: {cause.rstrip('.')}. Its log is {self.log}. The same command goes on from here: "
            f"finished parts are kept."
        )

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _listen(self, lines: Lines) -> None:
        line = "\n"
        with self.output:
            while line.endswith("\n"):
                try:
                    line = self.output.readline(LONGEST)
                except (OSError, MemoryError):
                    line = ""  # Whatever it is, the run hears of an end.
                lines.put((self, line))

    def _speak(self) -> None:
        with contextlib.suppress(OSError), self.input:
            while (line := self.outbox.get()) is not None:
                self.input.write(line)
                self.input.flush()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process was started without pipes")
    return process.stdin, process.stdout
