"""One request to an OpenAI-compatible server by the official client, and what came of it."""

from __future__ import annotations

import asyncio
import email.utils
import math
import time
from collections.abc import Mapping
from typing import Any, cast

import httpx
import openai

from icr.judges.questions import Reply
from icr.judges.reading import Malformed, read, reply
from icr.sampling.printable import printable

CONNECT = 10.0
"""Seconds that a connection may take."""
LARGEST = 2**24
"""Bytes of a reply, decompressed: some hundred times those of a long one."""
LATER = (408, 409, 425, 429)
"""Statuses below 500 that mean "later"."""
OF_THE_REQUEST = (400, 413, 422)
"""Statuses that are about one request alone; all others below 500 stop everything."""


class Later(Exception):
    """No reply this time.

    Attributes:
        reason: for counting.
        wait: seconds that the server asks to be left alone for; None where it does not say.
        said: for people.
    """

    def __init__(self, reason: str, said: str = "", wait: float | None = None):
        super().__init__(f"{reason}: {said}" if said else reason)
        self.reason, self.said, self.wait = reason, said, wait


class Never(Exception):
    """This request will get no reply, others may.

    Attributes:
        reason, said: as of `Later`.
    """

    def __init__(self, reason: str, said: str):
        super().__init__(f"{reason}: {said}")
        self.reason, self.said = reason, said


class Refused(Exception):
    """No request will get a reply, before a user has put something right.

    Attributes:
        reason: for counting.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


class Sender:
    """Sends requests within one event loop, each with one deadline for the whole exchange, none of them twice.

    The client's own retries are off, so that each is counted; redirections are not followed, nor the key sent along.
    """

    def __init__(self, base_url: str, key_env: str | None, key: str, connections: int, timeout: float):
        """Connect to nobody yet.

        Args:
            key_env: names the key's variable in messages.
            key: empty sends none.
            connections: at a time.
            timeout: seconds that a whole exchange may take.
        """
        self.base_url, self.key_env, self.key, self.timeout = base_url, key_env, key, timeout
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self.client = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=base_url,
            max_retries=0,
            timeout=httpx.Timeout(None, connect=CONNECT),
            http_client=httpx.AsyncClient(limits=limits),
        )
        self.headers = {} if key else {"Authorization": openai.Omit()}

    async def send(self, request: Mapping[str, object]) -> Reply:
        """One request, and its whole reply.

        Raises:
            Later: none came in time, it broke off, or the server is busy or broken.
            Never: the server refuses this request.
            Refused: it refuses the key, the model, or to go on.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return read(await self._body(dict(request)))
        except (TimeoutError, openai.APITimeoutError) as error:
            raise Later("timeout", f"no whole reply within {self.timeout:g} s") from error
        except Malformed as error:
            raise Later("malformed reply", str(error)) from error
        except openai.APIStatusError as error:
            return self._by_status(error, str(request["model"]))
        except (openai.APIConnectionError, httpx.HTTPError) as error:
            cause = error.__cause__ or error
            raise Later("connection", self._printable(f"{type(cause).__name__}: {cause}".rstrip(": "))) from error

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

    async def _body(self, request: dict[str, object]) -> bytes:
        model, messages = cast(str, request.pop("model")), cast(Any, request.pop("messages"))
        create, content = self.client.chat.completions.with_streaming_response.create, bytearray()
        async with create(model=model, messages=messages, extra_body=request, extra_headers=self.headers) as reply:
            async for part in reply.iter_bytes():
                content += part
                if len(content) > LARGEST:
                    raise Malformed(f"more than {LARGEST / 2**20:g} MiB")
        return bytes(content)

    def _by_status(self, error: openai.APIStatusError, model: str) -> Reply:
        status, reason = error.status_code, f"status {error.status_code}"
        detail = error.body if isinstance(error.body, dict) else {}
        said = self._printable(detail.get("message") or error.response.text[:4096] or "nothing said")
        if detail.get("code") == "content_filter":
            return reply(text="", finish_reason="content_filter", model=model, prompt_tokens=0, completion_tokens=0)
        if status == 402 or detail.get("code") == "insufficient_quota":
            raise Refused(reason, f"{self.base_url} wants to be paid first ({reason}: {said}).")
        if status >= 500 or status in LATER:
            raise Later(reason, said, wait(error.response.headers, time.time()))
        if status in OF_THE_REQUEST:
            raise Never(reason, said)
        if status in (401, 403):
            remedy = f"Put one that it takes into {self.key_env}" if self.key else "None was sent"
            raise Refused(
                reason,
                f"{self.base_url} refuses the key ({reason}: {said}). {remedy}; judge.endpoint.key_env names the "
                f"environment variable that holds it.",
            )
        if status == 404:
            raise Refused(
                reason,
                f"{self.base_url} has no model {model!r}, or is no address of an API ({reason}: {said}). Models are "
                f"withdrawn in time. Name another in judge.endpoint.model, or see to judge.endpoint.base_url.",
            )
        raise Refused(reason, f"{self.base_url} is no address of an API ({reason}: {said}): judge.endpoint.base_url.")

    def _printable(self, said: object) -> str:
        return printable(said, self.key)


def wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds for which a server asks to be left alone, by `Retry-After` (seconds or a date) or `retry-after-ms`.

    Args:
        headers: of its answer.
        now: seconds since 1970.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        said = headers.get(name)
        if said is None:
            continue
        try:
            seconds = float(said) * unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(said).timestamp() - now
            except ValueError:
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None
