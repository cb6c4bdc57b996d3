"""Hostile servers: whatever one answers, a run asks again or ends in words, and soon, and keeps nothing of it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from icr.errors import RunError
from icr.models.loading import LoadedModel, Loader
from icr.sampling import exchange, server_fleet
from icr.sampling.vllm_server_sampler import VLLMServerSampler
from icr.types import Prompt
from tests.faults.replies import PROBE, REPLIES, SAMPLING, http, says, silent
from tests.sampling.stand_in_server import StandInServer

CAMPAIGN = "hostile servers"
KEY = "s3cret-key"
SAMPLE = {
    "sampling: a page",
    "sampling: half the gzip",
    "sampling: headers that trickle",
    "sampling: null",
    "sampling: a token id beyond",
    "sampling: a stop id inside",
    "probe: null",
}
"""Those that are tried by `make test`."""
PROMPTS = [Prompt(str(i), "en", text, text) for i, text in enumerate(["hi", "¿Qué es esto?", "why"])]
SAMPLER = VLLMServerSampler(
    n=3, temperature=1.0, max_new_tokens=5, urls=("http://nowhere",), retries=2, timeout=0.6, concurrency=2
)


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """Retries that keep nobody waiting, and small limits."""
    monkeypatch.setattr(server_fleet, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(exchange, "LARGEST", 2**22)
    monkeypatch.setenv("VLLM_API_KEY", KEY)


@pytest.fixture(scope="module")
def policy(model_folder) -> LoadedModel:
    return Loader().load(str(model_folder("llama", 1)))


@pytest.fixture
def server(policy) -> Iterator[StandInServer]:
    started = StandInServer({policy.path: policy}, policy.path, key=KEY)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def expected(policy):
    """What an honest server answers."""
    honest = StandInServer({policy.path: policy}, policy.path)
    try:
        return ask(policy, honest.url)
    finally:
        honest.stop()


def ask(policy: LoadedModel, *urls: str, **settings):
    """Responses, and the engine let go of."""
    own = replace(SAMPLER, urls=urls, **settings)
    try:
        return own.sample(policy, PROMPTS, (0,))
    finally:
        own.release()


def tampering(to: str, write, times: float):
    """Answers by `write` as often to requests of one kind."""
    lock, left = threading.Lock(), [times]

    def tamper(handler, body, status, document) -> bool:
        path = handler.path.partition("?")[0]
        with lock:
            if (PROBE if "prompt_logprobs" in body else path) != to or left[0] <= 0:
                return False
            left[0] -= 1
        write(handler, document)
        return True

    return tamper


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(reply, id=name, marks=[] if name in SAMPLE else pytest.mark.faults)
        for name, reply in REPLIES.items()
    ],
)
def test_hostile_replies(server, policy, expected, reply, count):
    """Asked again where it may pass: it does once, and is given up where it does not; else refused, in one line."""
    count(CAMPAIGN, "refused in words" if reply.refused else "asked again, and given up only where it stays so")
    started = time.monotonic()
    server.tamper = tampering(reply.to, reply.write, float("inf") if reply.refused else 1)
    if not reply.refused:
        assert ask(policy, server.url) == expected
        server.tamper = tampering(reply.to, reply.write, float("inf"))
    with pytest.raises(RunError) as caught:
        ask(policy, server.url)
    message = str(caught.value)
    assert re.search(reply.refused or "No vLLM server answers any more", message.rstrip("."))
    assert server.url in message
    assert KEY not in message
    assert len(message) < 1000
    assert message.isprintable()
    assert time.monotonic() - started < 8


def test_a_redirection_takes_no_key_to_another_host(server, policy, count):
    count(CAMPAIGN, "refused in words")
    other = StandInServer({policy.path: policy}, policy.path)
    seen = []
    other.tamper = lambda handler, *rest: bool(seen.append(handler.headers)) or True
    try:
        server.tamper = tampering(SAMPLING, http(b"", 307, Location=f"{other.url}/v1/completions"), 9)
        with pytest.raises(RunError, match="refuses a request with status 307"):
            ask(policy, server.url)
        assert seen == []
    finally:
        other.stop()


@pytest.mark.parametrize("status", [400, 503])
def test_a_key_that_is_sent_back_is_not_shown(server, policy, status, caplog, count):
    count(CAMPAIGN, "refused in words")
    server.tamper = tampering(SAMPLING, says({"error": {"message": f"Invalid key: {KEY}!"}}, status), 99)
    with pytest.raises(RunError, match=r"Invalid key: \[key\]!") as caught:
        ask(policy, server.url)
    assert KEY not in str(caught.value) + caplog.text


def test_an_honest_server_goes_on_where_another_is_broken(policy, expected, server, count):
    count(CAMPAIGN, "asked again, and given up only where it stays so")
    broken = StandInServer({policy.path: policy}, policy.path)
    broken.tamper = tampering(SAMPLING, http(b"<html>"), 99)
    try:
        assert ask(policy, broken.url, server.url) == expected
    finally:
        broken.stop()


@pytest.mark.parametrize("what", ["adapter", "request"])
def test_closing_waits_for_no_server_that_hangs(server, policy, what, count, monkeypatch):
    """Neither for its farewell nor for requests under way, whatever an answer may take."""
    count(CAMPAIGN, "closed at once")
    monkeypatch.setattr(server_fleet, "FAREWELL", 0.3)
    own = replace(SAMPLER, urls=(server.url,), timeout=1800.0)
    if what == "adapter":
        monkeypatch.setattr("icr.sampling.server_weights.base_of", lambda path: "base")
        monkeypatch.setattr("icr.sampling.server_weights.ServerWeights._load_adapter", lambda *_: "served")
        own.sample(policy, PROMPTS, (0,))
        server.tamper = tampering("/v1/unload_lora_adapter", silent, 9)
    else:
        server.tamper = tampering(SAMPLING, silent, 2)
        closing = threading.Timer(1.0, own.release)
        closing.start()
        with pytest.raises(RunError, match="No vLLM server answers any more"):
            own.sample(policy, PROMPTS, (0,))
        closing.join()
    started = time.monotonic()
    own.release()
    assert time.monotonic() - started < 3
