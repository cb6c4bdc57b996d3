"""What was asked is paid for once, kept, counted and bounded."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from icr.errors import BudgetError, JudgeError
from icr.judges import Spending
from icr.rundir import fingerprint
from tests.faults.replies import changed, says
from tests.judges.conftest import KEY, balance, questions


def test_nothing_is_asked_twice(server, endpoint):
    asked = questions(5)
    first = endpoint(prompt_price=2.0, completion_price=8.0)
    paid = first.ask([*asked, *asked], "test")
    assert [reply.cached for reply in paid] == [False] * 10
    again = endpoint(prompt_price=2.0, completion_price=8.0, concurrency=1, base_url="http://127.0.0.1:9/v1")
    assert again.ask(asked, "test") == [replace(reply, cached=True) for reply in paid[:5]]
    assert len(server.seen) == 5
    spent = first.spending
    assert spent.cost == pytest.approx((spent.prompt_tokens * 2 + spent.completion_tokens * 8) / 1e6, rel=1e-12)
    assert (again.spending.requests, again.spending.cached, again.spending.cost) == (0, 5, 0.0)
    assert again.spending.cached_prompt_tokens == server.prompt_tokens
    balance(server, spent)


@pytest.mark.parametrize(
    "other",
    [
        {"model": "judge-2"},
        {"revision": "abc"},
        {"extra": {"top_p": 0.5}},
    ],
)
def test_what_decides_a_reply_is_in_its_key(server, endpoint, other):
    endpoint().ask(questions(2), "test")
    own = endpoint(**other)
    own.ask(questions(2), "test")
    assert own.spending.requests == 2
    assert fingerprint.of_object(own) != fingerprint.of_object(endpoint())


def test_decoding_is_in_the_key_and_the_way_there_is_not(server, endpoint):
    asked = questions(1)
    endpoint().ask(asked, "test")
    for change in ({"max_tokens": 2}, {"temperature": 0.5}, {"top_logprobs": 3}, {"seed": 1}):
        own = endpoint()
        own.ask([replace(asked[0], **change)], "test")
        assert own.spending.requests == 1
    incidental = endpoint(concurrency=9, retries=9, timeout=9.0, max_requests=9, prompt_price=1.0, backoff=9.0)
    assert fingerprint.of_object(incidental) == fingerprint.of_object(endpoint())
    assert "JUDGE_KEY" not in json.dumps(fingerprint.of_object(incidental))


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_budget_of_requests(server, endpoint, at_once):
    server.misbehave = lambda number, before: says({}, 500) if number == 1 else None
    own = endpoint(max_requests=5, concurrency=at_once, prompt_price=1.0, completion_price=1.0)
    with pytest.raises(
        BudgetError, match=r"judge.endpoint.max_requests is used up.*5 requests.*cost 0.00.*4 of 8"
    ) as error:
        own.ask(questions(8), "test")
    assert len(server.seen) == 5
    assert "the same command goes on from here" in str(error.value)
    balance(server, own.spending)
    with pytest.raises(BudgetError):
        own.ask(questions(8), "test")
    assert len(server.seen) == 5
    again = endpoint()
    again.ask(questions(8), "test")
    assert (again.spending.cached, again.spending.requests) == (4, 4)
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize("at_once", [1, 8])
def test_a_budget_of_tokens_is_never_exceeded(server, endpoint, at_once):
    own = endpoint(max_tokens=400, concurrency=at_once)
    with pytest.raises(BudgetError, match=r"judge.endpoint.max_tokens is used up"):
        own.ask(questions(40), "test")
    spent = own.spending.prompt_tokens + own.spending.completion_tokens
    assert 250 < spent <= 400
    balance(server, own.spending)


def test_tokens_that_nobody_tells_are_charged_at_their_most(server, endpoint):
    server.misbehave = lambda number, before: changed(lambda document: document.update(usage=None))
    own = endpoint(max_tokens=400, concurrency=1, prompt_price=1.0, completion_price=1.0)
    with pytest.raises(BudgetError):
        own.ask(questions(40), "test")
    assert own.spending.cost is None
    assert 1 <= own.spending.requests <= 4


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1", b"\xff\xfe", None])
def test_a_damaged_entry_is_counted_and_asked_again(server, endpoint, tmp_path, damage):
    endpoint().ask(questions(2), "test")
    entry = sorted((tmp_path / "cache").rglob("*.json"))[0]
    entry.write_bytes(entry.read_bytes().replace(b'"text": "', b'"text": "x') if damage is None else damage)
    own = endpoint()
    assert all(reply.text in ("A", "B") for reply in own.ask(questions(2), "test"))
    assert (own.spending.damaged, own.spending.cached, own.spending.requests) == (1, 1, 1)
    assert endpoint().ask(questions(2), "test")[0].cached


def test_a_cache_that_cannot_be_written_stops_the_work(server, endpoint, tmp_path):
    own = endpoint(concurrency=1)
    own.require()
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_text("")
    with pytest.raises(JudgeError, match=r"judge\.endpoint\.cache"):
        own.ask(questions(3), "test")
    assert len(server.seen) <= 1


def test_the_key_is_nowhere(server, endpoint, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    server.misbehave = lambda number, before: says({"error": {"message": f"bad {KEY}"}}, 500) if not before else None
    own = endpoint()
    own.ask(questions(2), "test")
    kept = "".join(path.read_text() for path in Path(tmp_path).rglob("*") if path.is_file())
    assert KEY not in kept + caplog.text + repr(own) + json.dumps(asdict(own))


def test_spending_adds_up():
    one = Spending(requests=3, cached=1, retries=1, failed={"timeout": 1}, prompt_tokens=10, cost=0.5, damaged=1)
    both = one + Spending(requests=2, failed={"timeout": 1, "connection": 1}, completion_tokens=2, cost=0.25)
    assert both == Spending(5, 1, 1, {"timeout": 2, "connection": 1}, 10, 2, 0.75, damaged=1)
    assert (one + Spending()).cost is None
    assert str(both) == (
        "5 requests, 1 of them repeated, 3 without a reply (connection: 1, timeout: 2), 1 replies from the cache, "
        "1 damaged entries of it asked again, 10 + 2 tokens, cost 0.75"
    )


def test_progress_shows_the_cost_so_far(server, endpoint, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("icr.progress.INTERVAL", 0.0)
    endpoint().ask(questions(1), "verdicts")
    own = endpoint(prompt_price=1e5, completion_price=0.0, concurrency=1)
    own.ask(questions(3), "verdicts")
    lines = [message for message in caplog.messages if message.startswith("verdicts: ")]
    assert lines[-1].startswith(f"verdicts: 2 of 2 (100 %), cost {own.spending.cost:.2f}")
    assert own.spending.cost == pytest.approx(own.spending.prompt_tokens / 10)
