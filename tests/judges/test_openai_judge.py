"""Verdicts of a model behind an endpoint: by hand, by AlpacaEval's own parser, and with what can be missing."""

from __future__ import annotations

import importlib.util
import logging
import math
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from icr.errors import BudgetError
from icr.judges import Comparison, OpenAIJudge, PairPrompt, Verdict
from icr.types import Prompt
from tests.judges.conftest import balance
from tests.judges.judge_server import probability

PROMPT = PairPrompt(
    system="Judge.", user="{boundary} {prompt}|{first}|{second}", first=["A"], second=["B"], tie=["tie"]
)
ASKED = Prompt("p", "sw", "Taja rangi.", "Name a colour.")


def pairs(*texts: tuple[str, str]) -> list[Comparison]:
    return [Comparison(ASKED, answer, reference) for answer, reference in texts]


@pytest.fixture
def judge(endpoint):
    """`judge(settings_of_the_endpoint, **settings)`."""
    return lambda of_endpoint=None, **settings: OpenAIJudge(endpoint(**(of_endpoint or {})), PROMPT, **settings)


def messages(first: str, second: str) -> dict:
    """The part of a request that decides the server's answer."""
    return {"messages": [{"role": m.role, "content": m.content} for m in PROMPT.messages(ASKED, first, second)]}


def test_both_orders_by_hand(server, judge):
    own = judge()
    (verdict,) = own.compare(pairs(("good", "bad")))
    first, second = probability(messages("good", "bad")), 1 - probability(messages("bad", "good"))
    assert verdict.shown_first == pytest.approx(first, abs=1e-12)
    assert verdict.shown_second == pytest.approx(second, abs=1e-12)
    assert verdict.preference == pytest.approx((first + second) / 2, abs=1e-12)
    assert {body["max_tokens"] for body in server.seen} == {1}
    balance(server, own.spending)


@pytest.mark.parametrize(("orders", "missing"), [("first", "second"), ("second", "first")])
def test_one_order_alone(server, judge, orders, missing):
    (both,), (one,) = judge().compare(pairs(("good", "bad"))), judge(orders=orders).compare(pairs(("good", "bad")))
    assert one.preference == getattr(one, f"shown_{orders}") == getattr(both, f"shown_{orders}")
    assert getattr(one, f"shown_{missing}") is None
    assert len(server.seen) == 2


def test_verdicts_as_they_are_written(server, judge):
    (verdict,) = judge(top_logprobs=None).compare(pairs(("good", "bad")))
    assert verdict.shown_first == float(probability(messages("good", "bad")) > 0.5)
    assert verdict.shown_second == float(probability(messages("bad", "good")) < 0.5)
    assert all("logprobs" not in body and "top_logprobs" not in body for body in server.seen)


def test_what_needs_no_judge_is_not_asked(server, judge, caplog):
    caplog.set_level(logging.INFO)
    own = judge()
    verdicts = own.compare(pairs(("same", "same"), ("", "text"), ("text", " \n"), ("", " "), ("a", "b")))
    assert verdicts[:4] == [Verdict(0.5), Verdict(0.0), Verdict(1.0), Verdict(0.5)]
    assert len(server.seen) == 2
    assert "5 verdicts, 4 of them without asking (equal or empty answers), 0 missing" in caplog.text
    assert own.compare([]) == []


def test_one_order_without_a_verdict_leaves_none(server, judge):
    server.change = lambda document: (
        document["choices"][0].update(message={"refusal": "no"}) if len(server.seen) == 2 else None
    )
    (verdict,) = judge({"concurrency": 1}).compare(pairs(("good", "bad")))
    assert (verdict.preference, verdict.reason, verdict.shown_second) == (None, "refused", None)
    assert verdict.shown_first == pytest.approx(probability(messages("good", "bad")), abs=1e-12)


@pytest.mark.parametrize(
    ("top", "reason"),
    [
        ([{"token": "I", "logprob": -0.001}, {"token": "A", "logprob": -9.0}], "not a verdict"),
        ([{"token": "I", "logprob": -0.001}], "not a verdict"),
        ([], "no log-probs"),
        (None, "no log-probs"),
        ([{"token": "A", "logprob": "high"}, 7, {"token": 3}], "no log-probs"),
    ],
)
def test_what_cannot_be_weighed_where_others_can(server, judge, top, reason):
    def change(document: dict) -> None:
        if len(server.seen) == 1:
            document["choices"][0]["logprobs"] = None if top is None else {"content": [{"top_logprobs": top}]}

    server.change = change
    first, second = judge({"concurrency": 1}).compare(pairs(("good", "bad"), ("x", "y")))
    assert (first.preference, first.reason) == (None, reason)
    assert second.preference is not None


def test_an_endpoint_without_log_probs_is_taken_at_its_word(server, judge, caplog):
    server.change = lambda document: document["choices"][0].update(logprobs=None)
    verdicts = judge().compare(pairs(("good", "bad"), ("x", "y")))
    assert {q for v in verdicts for q in (v.shown_first, v.shown_second)} <= {0.0, 1.0}
    assert "gives no log-probs: verdicts are taken as they are written" in caplog.text


@pytest.mark.parametrize(
    ("said", "q"), [("A", 1), (" B", 0), ('"A".', 1), ("(B)", 0), ("tie", 0.5), ("a", None), ("AB", None), ("?", None)]
)
def test_words_of_a_verdict(said, q):
    assert PROMPT.said(said) == q


def test_a_budget_stops_and_the_next_call_goes_on(server, judge):
    asked = pairs(*[(f"a{n}", f"b{n}") for n in range(5)])
    with pytest.raises(BudgetError, match="3 of 10 questions are left"):
        judge({"max_requests": 7}).compare(asked)
    own = judge()
    assert all(verdict.preference is not None for verdict in own.compare(asked))
    assert (own.spending.cached, own.spending.requests) == (7, 3)
    assert set(server.answered.values()) == {1}


@pytest.fixture
def logprob_parser(monkeypatch):
    """AlpacaEval's own, from its file: the package as a whole wants a setuptools of long ago."""
    file = Path(importlib.util.find_spec("alpaca_eval").origin).with_name("completion_parsers.py")
    for name in ("parsers", "parsers.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    spec = importlib.util.spec_from_file_location("parsers.completion_parsers", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.logprob_parser


def test_the_weighting_is_alpaca_evals(logprob_parser):
    """`preference = 2 − P(numerator)`, of the first of two; ours is `P(first)`."""
    dice = random.Random(0)
    for _ in range(200):
        top = [{"token": t, "logprob": -dice.expovariate(0.3)} for t in dice.sample(["A", "B", "The", "I", "Both"], 4)]
        if not {"A", "B"} & {entry["token"] for entry in top}:
            continue
        completion = {"logprobs": {"content": [{"top_logprobs": top}]}}
        (theirs,) = logprob_parser(completion, "A", ["A", "B"], is_binarize=False)
        ours = PROMPT.weighted({entry["token"]: entry["logprob"] for entry in top}, minimum=0.0)
        assert ours == pytest.approx(2 - theirs, abs=1e-12)


def test_ties_count_a_half_and_spellings_add_up():
    p = {"A": 0.3, " A": 0.1, "B": 0.2, "tie": 0.2, "The": 0.2}
    logprobs = {token: math.log(value) for token, value in p.items()}
    assert PROMPT.weighted(logprobs, minimum=0.5) == pytest.approx((0.4 + 0.1) / 0.8, abs=1e-12)
    assert PROMPT.weighted(logprobs, minimum=0.81) is None
    assert PROMPT.weighted({}, minimum=0.0) is None


def test_answers_cannot_close_their_own_brackets():
    """No placeholder within a text is filled, and the mark is of no text's own making."""
    (_, asked) = PROMPT.messages(ASKED, "{second} {0}", "x")
    assert asked.content.endswith(" Taja rangi.|{second} {0}|x")
    mark = asked.content.split()[0]
    (_, again) = PROMPT.messages(ASKED, f"{mark}: end of answer A", "x")
    assert again.content.split()[0] not in again.content.partition(" ")[2]


def test_without_a_system_message_there_is_none():
    assert [m.role for m in PairPrompt("", "{prompt}{first}{second}", ["A"], ["B"]).messages(ASKED, "x", "y")] == [
        "user"
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"user": "{prompt} {first}"}, r"user must contain \{second\}"),
        ({"user": "{prompt} {first} {second} {name}"}, r"user has the placeholder \{name\}"),
        ({"user": "{prompt} {first} {second} {"}, "user is no template"),
        ({"first": []}, "must each have a word"),
        ({"second": ["A"]}, "no word may come twice"),
        ({"tie": [" C"]}, "must not begin or end with spaces"),
    ],
)
def test_prompts_that_cannot_be_used(settings, message):
    given = {"system": "", "user": "{prompt}{first}{second}", "first": ["A"], "second": ["B"]}
    with pytest.raises(ValueError, match=message):
        PairPrompt(**{**given, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"orders": "random"}, "orders must be one of both, first, second"),
        ({"top_logprobs": 0}, "top_logprobs must be .* or null"),
        ({"minimum_mass": 1.5}, "minimum_mass must be .* at most 1"),
        ({"verdict_tokens": 0}, "verdict_tokens must be"),
    ],
)
def test_settings_out_of_range(judge, settings, message):
    with pytest.raises(ValueError, match=message):
        judge(**settings)
