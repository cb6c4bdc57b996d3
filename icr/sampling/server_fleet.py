"""Several OpenAI-compatible vLLM servers: requests are spread over them, and move from one that fails to the others."""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from icr.errors import RunError
from icr.sampling.answers import Answer, Request
from icr.sampling.exchange import Client, Reply, Unavailable
from icr.sampling.printable import printable

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a server is asked again; they double from the one to the other."""
FAREWELL = 5.0
"""Seconds that all servers together have to take adapters away in the end."""


Waiting: TypeAlias = "queue.SimpleQueue[tuple[int, Request]]"
Finished: TypeAlias = "queue.SimpleQueue[tuple[int, Answer | Exception]]"


@dataclass
class Server:
    """One server, and how it has been doing.

    Attributes:
        url: without a slash at the end.
        model: name to ask for.
        loaded: whether the policy's weights were put there since it last failed.
        verified: whether it was seen to hold them, in this part of the work.
        in_flight: requests that it is answering.
        failures: pauses in a row without a success.
        retry_at, failed_at: times of the monotonic clock.
        problem: what went wrong last.
    """

    url: str
    client: Client
    model: str = ""
    loaded: bool = False
    verified: bool = False
    in_flight: int = 0
    failures: int = 0
    retry_at: float = 0.0
    failed_at: float = 0.0
    problem: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __str__(self) -> str:
        return f"The vLLM server {self.url}"

    def call(self, method: str, path: str, body: object = None, timeout: float | None = None) -> Reply:
        """One exchange. Answers below 500 are returned as they are, but for those that mean "later".

        Raises:
            Unavailable: no answer, or one that may be another the next time.
        """
        reply = self.client.exchange(method, f"{self.url}{path}", body, timeout)
        if reply.status >= 500 or reply.status in (408, 425, 429):
            raise Unavailable(f"status {reply.status}: {reply.said()}")
        return reply

    def unexpected(self, path: str, document: object) -> RunError:
        """An error about a document that vLLM does not give: no proxy made it, and none will mend it."""
        shown = printable(document, self.client.key)
        return RunError(
            f"{self} answers {path} with what vLLM does not say there: {shown}. See what it is that serves."
        )


class Weights(Protocol):
    """The policy's weights, for servers."""

    def verify(self, server: Server) -> None:
        """Put them there if need be, set `server.model`, and see that they are there.

        Raises:
            Unavailable: there is no answer now.
            RunError: it holds other weights and cannot be helped.
        """

    def forget(self, server: Server, timeout: float) -> None:
        """Take away what was put there beside the server's own model, within so many seconds."""


class ServerFleet:
    """Servers that hold the policy's weights, or are made to before they are asked."""

    def __init__(
        self,
        servers: Sequence[Server],
        weights: Weights,
        *,
        concurrency: int,
        retries: int,
    ):
        """Ask nothing yet.

        Args:
            weights: gets the policy's weights into a server, and sees that they are there.
            concurrency: requests at a time to one server.
            retries: failures in a row after which a server is given up.
        """
        self.servers, self.weights = list(servers), weights
        self.concurrency, self.retries = concurrency, retries
        self.changed = threading.Condition()
        self.closed = False

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Index and answer of each request, in the order in which they are finished.

        Raises:
            RunError: no server answers any more, one holds other weights, or one refuses a request.
        """
        for server in self.servers:
            server.verified = False
        waiting: Waiting = queue.SimpleQueue()
        finished: Finished = queue.SimpleQueue()
        for item in enumerate(requests):
            waiting.put(item)
        for _ in range(min(len(requests), self.concurrency * len(self.servers))):
            # Daemons: a run that is stopped does not wait for answers that nobody wants any more.
            threading.Thread(target=self._work, args=(waiting, finished), daemon=True).start()
        for _ in requests:
            index, outcome = finished.get()
            if isinstance(outcome, Exception):
                raise outcome
            yield index, outcome

    def close(self) -> None:
        """Abandon the requests under way, take adapters away and close connections; wait for no server that hangs."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        until = time.monotonic() + FAREWELL
        for client in {server.client for server in self.servers}:
            client.abandon()
        for server in self.servers:
            if server.loaded and (left := until - time.monotonic()) > 0:
                with contextlib.suppress(Unavailable):
                    self.weights.forget(server, left)
        for client in {server.client for server in self.servers}:
            client.close()

    def _work(self, waiting: Waiting, finished: Finished) -> None:
        while not self.closed:
            try:
                index, request = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                finished.put((index, self._answer(request)))
            except Exception as error:
                finished.put((index, error))

    def _answer(self, request: Request) -> Answer:
        while True:
            server, started = self._acquire()
            try:
                with server.lock:
                    if server.retry_at > time.monotonic():
                        continue  # It failed while this request waited for the lock.
                    if not server.verified:
                        self.weights.verify(server)
                        server.verified = server.loaded = True
                answer = ask(server, request)
                server.failures = 0
                return answer
            except Unavailable as error:
                self._failed(server, started, str(error))
            finally:
                self._let_go(server)

    def _acquire(self) -> tuple[Server, float]:
        """The least busy of the servers that are not paused, and the time now."""
        with self.changed:
            while True:
                alive = [server for server in self.servers if server.failures <= self.retries]
                if self.closed or not alive:
                    raise RunError(self._all_gone())
                now = time.monotonic()
                free = [s for s in alive if s.retry_at <= now and s.in_flight < self.concurrency]
                if free:
                    server = min(free, key=lambda server: server.in_flight)
                    server.in_flight += 1
                    return server, now
                waits = [server.retry_at - now for server in alive if server.retry_at > now]
                self.changed.wait(min(waits, default=None))

    def _let_go(self, server: Server) -> None:
        with self.changed:
            server.in_flight -= 1
            self.changed.notify_all()

    def _failed(self, server: Server, started: float, problem: str) -> None:
        with self.changed:
            if self.closed or started <= server.failed_at:
                return  # The same trouble, seen by another request.
            # What comes back may be another process, with the weights that it was started with.
            server.verified = server.loaded = False
            server.failures, server.problem, server.failed_at = server.failures + 1, problem, time.monotonic()
            pause = min(FIRST_PAUSE * 2 ** (server.failures - 1), LONGEST_PAUSE) * random.uniform(0.75, 1.25)
            server.retry_at = server.failed_at + pause
            if server.failures > self.retries:
                log.warning("vLLM server %s is given up: %s", server.url, problem)
            else:
                log.warning("vLLM server %s: %s; again in %.1f s", server.url, problem, pause)

    def _all_gone(self) -> str:
        problems = "; ".join(f"{server.url}: {server.problem or 'closed'}" for server in self.servers)
        return (
            f"No vLLM server answers any more ({problems}). Start them again, or name others with sampling.urls; the "
            f"same command goes on from here: finished parts are kept."
        )


def ask(server: Server, request: Request) -> Answer:
    """Send one request.

    Raises:
        Unavailable: there is no answer now.
        RunError: it is refused, or the answer is not what was asked for.
    """
    body = {"model": server.model, "prompt": request.prompt_ids, "return_token_ids": True, **request.params}
    reply = server.call("POST", "/v1/completions", {**body, "watermarking": False})
    if reply.status == 404:
        raise Unavailable(f"status 404: {reply.said()}")  # Restarted without the adapter that it had.
    if reply.status != 200:
        raise RunError(f"{server} refuses a request with status {reply.status}: {reply.said()}")
    match document := reply.document():
        case {"choices": [*choices]} if all(isinstance(choice, dict) for choice in choices):
            return request.answer(in_order(server, request, choices), str(server))
    raise server.unexpected("/v1/completions", document)


def in_order(server: Server, request: Request, choices: Sequence[dict[str, object]]) -> list[object]:
    """Token ids and finish reason of each choice, by its index.

    Raises:
        Unavailable: they were aborted.
        RunError: there are no token ids, the prompt is another, or indices are not `0, 1, …`.
    """
    if any(choice.get("finish_reason") == "abort" for choice in choices):
        raise Unavailable("it aborted a request")  # It is being stopped, or its engine was reset.
    if any(choice.get("token_ids") is None for choice in choices):
        raise RunError(f"{server} does not give token ids (return_token_ids); it must be vLLM 0.11 or newer.")
    if any(choice.get("prompt_token_ids") not in (None, request.prompt_ids) for choice in choices):
        raise RunError(f"{server} changed the token ids of prompt {request.prompt}.")
    by_index = {choice.get("index"): choice for choice in choices if type(choice.get("index")) is int}
    if by_index.keys() != set(range(len(choices))):
        indices = printable([choice.get("index") for choice in choices], server.client.key)
        raise RunError(f"{server} answers prompt {request.prompt} with responses of indices {indices}.")
    return [[by_index[k].get("token_ids"), by_index[k].get("finish_reason")] for k in range(len(choices))]
