"""vLLM engines in processes of their own, which share the requests."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Iterator, Mapping, Sequence

from icr.sampling.answers import Answer, Request
from icr.sampling.probe import Probe
from icr.sampling.worker import Lines, Worker

WHERE = "The vLLM process"


class WorkerPool:
    """Workers with the same model, started together. Requests are dealt out by length, so that all end at once."""

    def __init__(
        self,
        command: Sequence[str],
        engine: Mapping[str, object],
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
        # Never the same again: an answer that comes twice is none to a later request.
        self.ids = itertools.count()
        self.lines: Lines = queue.SimpleQueue()
        self.workers: list[Worker] = []
        try:
            for environment in environments:
                self.workers.append(Worker(command, environment, self.lines))
                self.workers[-1].send({"engine": dict(engine), "adapter": adapter})
            starting = set(self.workers)
            while starting:
                worker, message = self._next()
                if "ready" not in message or worker not in starting:
                    raise worker.unexpected(message)
                starting.remove(worker)
            self._verify(probe, adapter)
        except BaseException:
            self.close()
            raise

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Index and answer of each request, in the order in which they are finished.

        Raises:
            RunError: a worker died, or does not speak the protocol; the message quotes the end of its log or the line.
        """
        waiting: dict[str, tuple[int, Worker]] = {}
        longest_first = sorted(range(len(requests)), key=lambda i: -len(requests[i].prompt_ids))
        for place, index in enumerate(longest_first):
            request, worker = requests[index], self.workers[place % len(self.workers)]
            id = str(next(self.ids))
            waiting[id] = index, worker
            worker.send({"id": id, "prompt": request.prompt_ids, "params": request.params})
        while waiting:
            sender, message = self._next()
            match message:
                case {"id": str(id), "responses": [*responses]} if id in waiting and waiting[id][1] is sender:
                    index, _ = waiting.pop(id)
                    yield index, requests[index].answer(responses, WHERE)
                case _:
                    raise sender.unexpected(message)

    def close(self) -> None:
        """End all workers, and delete the logs of those that did well."""
        for worker in self.workers:
            worker.hang_up()
        for worker in self.workers:
            worker.end()

    def _verify(self, probe: Probe, adapter: str | None) -> None:
        for worker in self.workers:
            answers = [self._prompt_logps(worker, ids, adapted=True) for ids in probe.prompts]
            base = [self._prompt_logps(worker, ids, adapted=False) for ids in probe.prompts] if adapter else None
            probe.check(answers, WHERE, base=base)

    def _prompt_logps(self, worker: Worker, ids: list[int], *, adapted: bool) -> object:
        """One prompt at a time: vLLM 0.32 cannot do two under an adapter."""
        params = {"prompt_logprobs": 0, "max_tokens": 1, "temperature": 0.0}
        worker.send({"id": "probe", "prompt": ids, "params": params, "adapted": adapted})
        sender, message = self._next()
        if sender is not worker or message.get("id") != "probe":
            raise sender.unexpected(message)
        return message.get("prompt_logps")

    def _next(self) -> tuple[Worker, dict[str, object]]:
        worker, line = self.lines.get()
        return worker, worker.read(line)
