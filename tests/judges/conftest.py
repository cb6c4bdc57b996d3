"""A server to ask, and an endpoint that asks it without keeping a test waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from icr.judges import Endpoint, Message, Question, Spending
from tests.judges.judge_server import JudgeServer, judge_server

KEY = "sk-secret-0123456789"


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with judge_server() as running:
        yield running


@pytest.fixture
def endpoint(server, tmp_path, monkeypatch) -> Callable[..., Endpoint]:
    """`endpoint(**settings)`: of the server, each with counts of its own and the same cache."""
    monkeypatch.setenv("JUDGE_KEY", KEY)
    own = {"model": "judge-1", "base_url": server.url, "cache": str(tmp_path / "cache"), "key_env": "JUDGE_KEY"}
    quick = {"backoff": 0.01, "timeout": 5.0, "retries": 3, "concurrency": 4}
    return lambda **settings: Endpoint(**{**own, **quick, **settings})


def questions(count: int, **settings) -> list[Question]:
    """So many of them."""
    return [Question((Message("user", f"Which one? {n}"),), max_tokens=1, **settings) for n in range(count)]


def balance(server: JudgeServer, spending: Spending) -> None:
    """Our counts are the server's."""
    assert spending.requests == len(server.seen)
    assert spending.requests == server.answered.total() + sum(spending.failed.values())
    assert (spending.prompt_tokens, spending.completion_tokens) == (server.prompt_tokens, server.completion_tokens)
    assert set(server.answered.values()) <= {1}
