"""Many requests at once: shared out over workers, repeated where that helps, stopped where it does not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from icr.errors import BudgetError, JudgeError
from icr.judges.ledger import Ledger
from icr.judges.questions import Pending, Reply
from icr.judges.sending import Later, Never, Refused, Sender
from icr.progress import Update

log = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
"""Seconds that pauses grow to; a server may ask for longer ones."""
LONGEST_WAIT = 900.0
"""Seconds that a server may ask for: work that has to wait for longer is better started again."""
STRANDED = 10
"""Requests in a row that get no reply, however often they are repeated, before the endpoint is given up."""


@dataclass
class Asking:
    """Requests of one call, each of which ends in a reply, in a reason why there is none, or is left to ask.

    When something stops the work, no request is sent any more; those under way are waited for, and their replies kept.

    Attributes:
        sender: sends.
        ledger: counts, and knows what budgets leave.
        keep: puts a reply where it is found again.
        ours: whether a name is one of the model that is asked.
        update: told of each request that is done.
        concurrency, retries, backoff: as the endpoint has them.
        answered: whether the endpoint is known to reply.
        replies: so far, by key.
        stop: what has stopped the work.
    """

    sender: Sender
    ledger: Ledger
    keep: Callable[[str, Reply], None]
    ours: Callable[[str], bool]
    update: Update
    concurrency: int
    retries: int
    backoff: float
    answered: bool
    replies: dict[str, Reply] = field(default_factory=dict)
    stop: JudgeError | None = None

    _waiting: deque[tuple[str, Pending]] = field(default_factory=deque, init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _under_way: int = field(default=0, init=False)
    _reserved: int = field(default=0, init=False)
    _stranded: int = field(default=0, init=False)
    _resume_at: float = field(default=0.0, init=False)
    _said: set[str] = field(default_factory=set, init=False)

    async def all(self, pending: Mapping[str, Pending]) -> None:
        """Ask them all, or as many as can be asked; `stop` says why where it is fewer."""
        self._waiting.extend(pending.items())
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self.concurrency, len(pending))):
                    workers.create_task(self._work())
        finally:
            await self.sender.close()
        if not self.answered and self.stop is None:
            reasons = ", ".join(sorted({reply.reason for reply in self.replies.values()}))
            self.stop = JudgeError(f"{self.sender.base_url} replied to none of {len(pending)} requests ({reasons}).")

    async def _work(self) -> None:
        while self._waiting and not self.stop:
            key, pending = self._waiting.popleft()
            try:
                self.replies[key] = await self._reply(key, pending)
            except JudgeError as error:
                self.stop = self.stop or error
                self._stopping.set()
                self._ended.set()
                return
            self.update(1, self.ledger.note)

    async def _reply(self, key: str, pending: Pending) -> Reply:
        for attempt in range(self.retries + 1):
            await self._admitted(pending.most)
            try:
                reply = await self._sent(pending, again=attempt > 0)
            except Never as error:
                return self._without(error)
            except Refused as error:
                raise JudgeError(str(error)) from error
            except Later as error:
                if attempt == self.retries:
                    return self._without(error)
                await self._pause(attempt, error)
                continue
            self._take(key, reply)
            return reply
        raise AssertionError("the last attempt ends in a reply or in the reason why there is none")

    async def _admitted(self, most: int) -> None:
        """Wait for a server that wants to be left alone, and for what budgets leave when others have ended.

        Raises:
            JudgeError: the work has stopped, or a budget stops it.
        """
        while True:
            if self.stop:
                raise self.stop
            if (seconds := self._resume_at - asyncio.get_running_loop().time()) > 0:
                await self._sleep(seconds)
            elif not (budget := self.ledger.exceeded(self._reserved + most)):
                return
            elif budget == "max_requests" or not self._under_way:
                raise BudgetError(
                    f"The budget judge.endpoint.{budget} is used up: the next request could exceed it. Give a larger "
                    f"one, or null."
                )
            else:
                self._ended.clear()
                await self._ended.wait()

    async def _sent(self, pending: Pending, *, again: bool) -> Reply:
        self.ledger.sent(again=again)
        self._under_way += 1
        self._reserved += pending.most
        try:
            reply = await self.sender.send(pending.body)
        except (Later, Never, Refused) as error:
            self.ledger.lost(error.reason)
            raise
        finally:
            self._under_way -= 1
            self._reserved -= pending.most
            self._ended.set()
        self.ledger.returned(reply, pending.most)
        return reply

    def _take(self, key: str, reply: Reply) -> None:
        try:
            self.keep(key, reply)
        except OSError as error:
            raise JudgeError(f"A reply cannot be kept in judge.endpoint.cache: {error}.") from error
        if not self.ours(reply.model):
            raise JudgeError(
                f"{self.sender.base_url} replied by the model {reply.model!r}, which was not asked. If it is another "
                f"name of the same model, add it to judge.endpoint.answers_as; else name what is served there in "
                f"judge.endpoint.model."
            )
        self.answered, self._stranded = True, 0

    def _without(self, error: Later | Never) -> Reply:
        """No reply, for good, and why.

        Raises:
            JudgeError: there have been too many of them.
        """
        if error.reason not in self._said:
            self._said.add(error.reason)
            log.warning("%s: a request has no reply, %s", self.sender.base_url, error)
        if isinstance(error, Later) or not self.answered:
            self._stranded += 1
        if self._stranded >= STRANDED:
            raise JudgeError(
                f"{self.sender.base_url} has not replied to {self._stranded} requests in a row, each of them sent "
                f"{self.retries + 1} times where that could help; the last time it was: {error}."
            )
        return Reply(None, f"no reply ({error.reason})")

    async def _pause(self, attempt: int, error: Later) -> None:
        """As long as the server asks for, and nobody else asks it meanwhile; else twice as long as the last time.

        Raises:
            JudgeError: it asks for too long.
        """
        if error.wait is None:
            pause = min(self.backoff * 2**attempt, LONGEST_PAUSE)
            return await self._sleep(pause * random.uniform(0.75, 1.25))
        if error.wait > LONGEST_WAIT:
            raise JudgeError(
                f"{self.sender.base_url} asks to be left alone for {error.wait / 60:.0f} minutes ({error}). Start the "
                f"same command again then."
            )
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + error.wait)
        # Those that wait for the same moment do not all come back in it.
        await self._sleep(error.wait + random.uniform(0, min(1.0, self.backoff)))

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
