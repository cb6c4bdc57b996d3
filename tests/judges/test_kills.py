"""Judges that are killed in the middle, and two that share a cache, in processes forked from this one."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from icr.judges import Endpoint
from tests.faults.replies import silent
from tests.judges.conftest import questions


def forked(work: Callable[[], object]) -> int:
    """Number of a process that does this and ends."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def kept(endpoint: Endpoint) -> int:
    """Replies in its cache."""
    return len(list(Path(endpoint.cache).rglob("[!.]*.json")))


def test_what_was_answered_before_a_kill_is_not_asked_again(server, endpoint):
    own = endpoint()
    server.misbehave = lambda number, before: silent if number >= 7 else None
    child = forked(lambda: own.ask(questions(20), "test"))
    until(lambda: kept(own) == 7 and len(server.seen) == 7 + own.concurrency)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    server.misbehave = lambda number, before: None
    server.seen.clear()
    assert all(reply.text for reply in own.ask(questions(20), "test"))
    assert (own.spending.cached, own.spending.requests, own.spending.damaged) == (7, 13, 0)
    assert len(server.seen) == 13
    assert set(server.answered.values()) == {1}


def test_kills_at_any_moment_cost_what_was_under_way_and_no_more(server, endpoint):
    own, dice, kills = endpoint(), random.Random(1), 6
    server.slow = 0.005
    for _ in range(kills):
        child = forked(lambda: own.ask(questions(80), "test"))
        time.sleep(dice.uniform(0.05, 0.25))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    until(lambda: server.under_way == 0)
    before, found = server.answered.total(), kept(own)
    assert before - found <= kills * own.concurrency
    assert all(reply.text for reply in own.ask(questions(80), "test"))
    assert (own.spending.cached, own.spending.requests, own.spending.damaged) == (found, 80 - found, 0)
    assert server.answered.total() == before + 80 - found


def test_two_processes_may_share_a_cache(server, endpoint):
    children = [forked(lambda: endpoint().ask(questions(30), "test")) for _ in range(2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert set(server.answered.values()) <= {1, 2}
    again = endpoint()
    assert all(reply.cached for reply in again.ask(questions(30), "test"))
    assert (again.spending.requests, again.spending.damaged) == (0, 0)
