"""An endpoint against a server that misbehaves: nothing is lost, and totals add up."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import replace

import pytest

from icr.errors import ConfigError, JudgeError
from icr.judges import Message, Question
from icr.judges.sending import wait
from tests.faults.replies import http, nested, raw, reset, says, silent, trickled
from tests.judges.conftest import KEY, balance, questions
from tests.judges.judge_server import honest

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
REFUSAL = {"error": {"message": "too long", "code": "context_length_exceeded"}}

MISBEHAVIOUR = {
    "429": (says({"error": {"message": "slow down"}}, 429), "status 429"),
    "429 and when": (http(b"{}", 429, Retry_After="0"), "status 429"),
    "500": (says({"error": {"message": "oh"}}, 500), "status 500"),
    "502 of a proxy": (http(b"<html>Bad gateway</html>", 502, Content_Type="text/html"), "status 502"),
    "silent": (silent, "timeout"),
    "slow bytes": (trickled(HEAD, b" "), "timeout"),
    "cut before": (raw(b""), "connection"),
    "cut within": (raw(HEAD, b'{"choices": ['), "connection"),
    "reset": (reset, "connection"),
    "half JSON": (http(b'{"choices": ['), "malformed reply"),
    "a page": (http(b"<html>Log in</html>", Content_Type="text/html"), "malformed reply"),
    "no choice": (says({"choices": []}), "malformed reply"),
    "another shape": (says([1, 2]), "malformed reply"),
    "an error under 200": (says({"error": {"message": "overloaded"}}), "malformed reply"),
    "lists in lists": (http(json.dumps(nested(900)).encode()), "malformed reply"),
    "no gzip": (http(b"not gzip", Content_Encoding="gzip"), "connection"),
}


def test_replies_in_order_and_the_request_as_it_is_sent(server, endpoint):
    own = endpoint(extra={"top_p": 0.5, "max_tokens": None, "max_completion_tokens": 1})
    asked = questions(9, top_logprobs=5, seed=3)
    replies = own.ask(asked, "test")
    letters = {}
    for body in server.seen:
        letters[body["messages"][0]["content"]] = honest(body)["choices"][0]["message"]["content"]
    assert [reply.text for reply in replies] == [letters[question.messages[0].content] for question in asked]
    assert {tuple(sorted(reply.top_logprobs)) for reply in replies} == {("A", "B", "The")}
    (first,) = [body for body in server.seen if body["messages"][0]["content"] == "Which one? 0"]
    assert first == {
        "model": "judge-1",
        "messages": [{"role": "user", "content": "Which one? 0"}],
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 5,
        "seed": 3,
        "top_p": 0.5,
        "max_completion_tokens": 1,
    }
    assert server.headers["Authorization"] == f"Bearer {KEY}"
    assert server.most_at_once <= 4
    balance(server, own.spending)


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_what_goes_wrong_once_is_repeated(server, endpoint, name):
    write, reason = MISBEHAVIOUR[name]
    server.misbehave = lambda number, before: write if number in (1, 2) else None
    own = endpoint(timeout=0.25 if reason == "timeout" else 5.0)
    replies = own.ask(questions(6), "test")
    assert all(reply.text in ("A", "B") for reply in replies)
    assert own.spending.failed == {reason: 2}
    assert (own.spending.requests, own.spending.retries) == (8, 2)
    balance(server, own.spending)


def test_a_server_is_left_alone_for_as_long_as_it_asks(server, endpoint):
    server.misbehave = lambda number, before: http(b"{}", 429, Retry_After="0.4") if number == 0 else None
    own, started = endpoint(concurrency=1), time.monotonic()
    own.ask(questions(2), "test")
    assert time.monotonic() - started >= 0.4


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers, seconds):
    assert wait(headers, now=60.0) == seconds


def test_a_server_that_asks_for_a_day_is_not_waited_for(server, endpoint):
    server.misbehave = lambda number, before: http(b"{}", 429, Retry_After="86400")
    with pytest.raises(JudgeError, match="left alone for 1440 minutes"):
        endpoint().ask(questions(3), "test")


@pytest.mark.parametrize(
    ("status", "body", "says_so"),
    [
        (401, {"message": f"Incorrect API key provided: {KEY}"}, "refuses the key .*JUDGE_KEY.*judge.endpoint.key_env"),
        (403, {"message": "no"}, "refuses the key"),
        (404, {"message": "The model does not exist"}, "has no model 'judge-1'.*judge.endpoint.model"),
        (402, {"message": "pay"}, "wants to be paid"),
        (429, {"message": "quota", "code": "insufficient_quota"}, "wants to be paid"),
        (307, {"message": "elsewhere"}, "judge.endpoint.base_url"),
    ],
)
def test_what_nothing_helps_against_stops_at_once(server, endpoint, status, body, says_so, caplog):
    caplog.set_level(logging.DEBUG)
    server.misbehave = lambda number, before: says({"error": body}, status)
    own = endpoint(concurrency=1)
    with pytest.raises(JudgeError, match=says_so) as error:
        own.ask(questions(5), "test")
    assert len(server.seen) == 1
    assert "5 of 5 questions are left" in str(error.value)
    assert KEY not in str(error.value) + caplog.text + str(own) + str(own.spending)
    balance(server, own.spending)


def test_a_refused_request_does_not_stop_the_others(server, endpoint):
    server.misbehave = lambda number, before: says(REFUSAL, 400) if number == 3 else None
    own = endpoint(concurrency=1)
    replies = own.ask(questions(6), "test")
    assert [reply.reason for reply in replies] == ["", "", "", "no reply (status 400)", "", ""]
    assert own.spending.retries == 0
    balance(server, own.spending)


def test_a_question_that_never_gets_a_reply_is_asked_again_the_next_time(server, endpoint):
    server.misbehave = lambda number, before: (
        says({}, 500) if server.seen[number]["messages"][0]["content"][-1] == "2" else None
    )
    own = endpoint()
    replies = own.ask(questions(4), "test")
    assert [reply.reason for reply in replies] == ["", "", "no reply (status 500)", ""]
    assert own.spending.failed == {"status 500": 4}
    balance(server, own.spending)
    server.misbehave = lambda number, before: None
    again = endpoint()
    assert all(reply.text for reply in again.ask(questions(4), "test"))
    assert (again.spending.requests, again.spending.cached) == (1, 3)


def test_an_endpoint_that_is_gone_is_given_up(server, endpoint):
    server.misbehave = lambda number, before: says({"error": {"message": "down"}}, 503) if number > 4 else None
    own = endpoint(retries=1, concurrency=1, backoff=0.0)
    with pytest.raises(JudgeError, match=r"has not replied to 10 requests in a row.*status 503: down"):
        own.ask(questions(30), "test")
    assert len(server.seen) == 5 + 10 * 2
    server.misbehave = lambda number, before: None
    again = endpoint()
    assert all(reply.text for reply in again.ask(questions(30), "test"))
    assert (again.spending.cached, again.spending.requests) == (5, 25)
    assert set(server.answered.values()) == {1}


def test_no_reply_at_all_is_an_error(server, endpoint):
    server.misbehave = lambda number, before: says({"error": {"message": "no such field: logprobs"}}, 400)
    with pytest.raises(JudgeError, match=r"replied to none of 2 requests \(no reply \(status 400\)\)"):
        endpoint().ask(questions(2), "test")


def test_a_reply_by_another_model_stops_the_work_and_is_kept(server, endpoint):
    server.change = lambda document: document.update(model="impostor")
    own = endpoint(concurrency=1)
    with pytest.raises(JudgeError, match=r"by the model 'impostor', which was not asked.*judge\.endpoint\.answers_as"):
        own.ask(questions(3), "test")
    assert len(server.seen) == 1
    balance(server, own.spending)
    accepting = endpoint(answers_as=["impostor"])
    assert all(reply.text for reply in accepting.ask(questions(3), "test"))
    assert (accepting.spending.cached, accepting.spending.requests) == (1, 2)


@pytest.mark.parametrize("name", ["judge-1-2025-04-14", "judge-1-0613"])
def test_a_dated_version_is_the_model_that_was_asked(server, endpoint, name, caplog):
    caplog.set_level(logging.INFO)
    server.change = lambda document: document.update(model=name)
    assert [reply.model for reply in endpoint().ask(questions(1), "test")] == [name]
    assert f"judge-1 replies as {name}" in caplog.text


@pytest.mark.parametrize("name", ["judge-10", "judge-1-mini", "my-judge-1", "", None])
def test_other_names_are_other_models(server, endpoint, name):
    server.change = lambda document: document.update(model=name)
    with pytest.raises(JudgeError, match="which was not asked"):
        endpoint().ask(questions(1), "test")


def test_a_name_that_has_moved_is_said(server, endpoint, caplog):
    server.change = lambda document: document.update(model="judge-1-2025-01-01")
    endpoint().ask(questions(1), "test")
    server.change = lambda document: document.update(model="judge-1-2025-06-06")
    endpoint().ask(questions(2), "test")
    assert "judge-1 is several models (judge-1-2025-01-01, judge-1-2025-06-06)" in caplog.text


@pytest.mark.parametrize(
    ("message", "finish", "reason"),
    [
        ({"content": None, "refusal": "I cannot"}, "stop", "refused"),
        ({"content": "A"}, "content_filter", "refused"),
        ({"content": ""}, "stop", "empty reply"),
        ({"content": None}, "stop", "empty reply"),
        ({"content": 7}, "stop", "empty reply"),
    ],
)
def test_replies_without_a_text_are_replies(server, endpoint, message, finish, reason):
    server.change = lambda document: document["choices"][0].update(message=message, finish_reason=finish)
    own = endpoint()
    (reply,) = own.ask(questions(1), "test")
    assert (reply.text, reply.reason) == (None, reason)
    balance(server, own.spending)
    assert endpoint().ask(questions(1), "test") == [replace(reply, cached=True)]
    assert len(server.seen) == 1


def test_a_filter_that_refuses_the_request_is_a_refusal(server, endpoint):
    server.misbehave = lambda number, before: says({"error": {"code": "content_filter", "message": "no"}}, 400)
    assert [reply.reason for reply in endpoint().ask(questions(1), "test")] == ["refused"]


def test_halves_of_surrogate_pairs_do_no_harm(server, endpoint):
    server.change = lambda document: document["choices"][0]["message"].update(content="A\ud800")
    asked = [Question((Message("user", "\udfff?"),), max_tokens=1)]
    assert [reply.text for reply in endpoint().ask(asked, "test")] == ["A?"]
    assert endpoint().ask(asked, "test")[0].cached


def test_without_a_key_none_is_sent(server, endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    endpoint(key_env=None).ask(questions(1), "test")
    assert "Authorization" not in server.headers


def test_what_is_missing_is_refused_beforehand(endpoint, monkeypatch, tmp_path):
    endpoint().require()
    with pytest.raises(ConfigError, match=r"variable NO_KEY is not set.*judge.endpoint.key_env"):
        endpoint(key_env="NO_KEY").require()
    monkeypatch.setenv("BAD_KEY", "a\nb")
    with pytest.raises(ConfigError, match="BAD_KEY"):
        endpoint(key_env="BAD_KEY").require()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"judge\.endpoint\.cache"):
        endpoint(cache=str(tmp_path / "file" / "cache")).require()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"icr\[openai\]"):
        endpoint().require()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concurrency": 0}, "concurrency must be"),
        ({"retries": -1}, "retries must be at least 0"),
        ({"retries": 1.5}, "retries must be an integer"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"max_requests": 0}, "max_requests must be .* or null"),
        ({"max_tokens": 1.5}, "max_tokens must be .* or null"),
        ({"prompt_price": -1}, "prompt_price must be at least 0 or null"),
        ({"model": " "}, "model must not be empty"),
        ({"cache": ""}, "cache must not be empty"),
        ({"extra": {"n": 2}}, "extra must not hold n"),
        ({"base_url": "localhost:8000"}, "base_url: .* is not an address"),
        ({"base_url": "http://me:pass@host/v1"}, "base_url: the address of host holds a password"),
    ],
)
def test_settings_out_of_range(endpoint, settings, message):
    with pytest.raises(ValueError, match=message):
        endpoint(**settings)


def test_a_loop_that_runs_already_is_no_hindrance(server, endpoint):
    """As in a notebook."""

    async def cell() -> int:
        return len(endpoint().ask(questions(2), "test"))

    assert asyncio.run(cell()) == 2
