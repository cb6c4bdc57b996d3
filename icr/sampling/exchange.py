"""Exchanges with servers that may do anything: each has one deadline and a largest size, and all can be abandoned."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import CancelledError
from dataclasses import dataclass, field

import httpx

from icr.sampling.printable import printable

LARGEST = 2**28
"""Bytes of an answer: some hundred times those of many long responses."""
CONNECT = 10.0
"""Seconds that a connection may take."""


class Unavailable(Exception):
    """A server did not answer, or answered that it cannot now."""


@dataclass(frozen=True)
class Reply:
    """A whole answer.

    Attributes:
        status: of HTTP.
        content: decompressed.
        key: what is not to be repeated of it.
    """

    status: int
    content: bytes
    key: str = field(default="", repr=False)

    def document(self) -> object:
        """Its JSON.

        Raises:
            Unavailable: it is none. vLLM itself answers in JSON, so that this is half an answer, or that of a proxy.
        """
        try:
            document: object = json.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"status {self.status} without JSON: {self.said() or 'nothing'}") from error
        return document

    def said(self) -> str:
        """Its message, or else its beginning, in one line that is safe to print."""
        try:
            document = json.loads(self.content)
        except (ValueError, RecursionError):
            return printable(self.content[:4096].decode(errors="replace"), self.key)
        text = document.get("error", document) if isinstance(document, dict) else document
        return printable(text.get("message", text) if isinstance(text, dict) else text, self.key)


class Client:
    """Sends requests, from any thread.

    They are tasks of one event loop: a deadline holds for a whole exchange, where a blocking client's timeouts hold for
    each read, and what is under way can be cancelled. Redirections are not followed, nor the key sent along them.
    """

    def __init__(self, key: str, connections: int, timeout: float):
        """Connect to nobody yet.

        Args:
            key: sent as a bearer token; empty sends none.
            connections: at a time.
            timeout: seconds that a whole exchange may take.
        """
        self.key, self.timeout = key, timeout
        self.http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=connections),
            timeout=httpx.Timeout(None, connect=CONNECT),
        )
        self.lock, self.closed = threading.Lock(), False
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def exchange(self, method: str, url: str, body: object = None, timeout: float | None = None) -> Reply:
        """One request and its whole answer, of any status.

        Raises:
            Unavailable: there is none in time, or it breaks off, cannot be decompressed, or is too large.
        """
        seconds = timeout or self.timeout
        with self.lock:
            if self.closed:
                raise Unavailable("closed")
            task = asyncio.run_coroutine_threadsafe(self._exchange(method, url, body, seconds), self.loop)
        try:
            return task.result()
        except TimeoutError as error:
            raise Unavailable(f"no whole answer within {seconds:g} s") from error
        except CancelledError as error:
            raise Unavailable("closed") from error
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise Unavailable(printable(f"{type(error).__name__}: {error}".rstrip(": "), self.key)) from error

    def abandon(self) -> None:
        """Give up all exchanges that are under way."""
        asyncio.run_coroutine_threadsafe(self._abandon(), self.loop).result()

    def close(self) -> None:
        """Give up what is under way, and all connections."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _exchange(self, method: str, url: str, body: object, seconds: float) -> Reply:
        content = bytearray()
        async with asyncio.timeout(seconds), self.http.stream(method, url, json=body) as reply:
            async for part in reply.aiter_bytes():
                content += part
                if len(content) > LARGEST:
                    raise Unavailable(f"an answer of more than {LARGEST / 2**20:g} MiB")
        return Reply(reply.status_code, bytes(content), self.key)

    async def _close(self) -> None:
        await self._abandon()
        await self.http.aclose()
        await asyncio.sleep(0)  # Transports end in the loop's next turn.

    async def _abandon(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
