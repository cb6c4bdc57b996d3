"""Figures of answers that nobody has judged, by hand."""

from __future__ import annotations

import pytest

from icr.evaluation import paired_difference, share_interval
from icr.evaluation.answers.described import DescribedAnswer
from icr.evaluation.answers.figures import columns, result
from icr.metrics import AnswerFigure, Figure


def answer(id: str, text: str, k: int = 0, code: str = "sw", **more) -> DescribedAnswer:
    known = {"tokens": len(text), "finish_reason": "stop", "repeats": False, "off_language": False}
    return DescribedAnswer(id=id, language=code, prompt="?", k=k, text=text, characters=len(text), **{**known, **more})


def test_rates_are_of_answers_and_lengths_are_means():
    rows = [
        answer("0", "abcd", off_language=True),
        answer("1", "  ", tokens=1),
        answer("2", "xyxyxyxyxy", finish_reason="length", repeats=True),
        answer("3", "ab"),
    ]
    figures, differences = result({"m": rows}, None)
    own = {name: by["sw"] for name, by in figures["m"].items() if not name.endswith(("_low", "_high"))}
    assert own == {
        "off_language_rate": 25,
        "repetition_rate": 25,
        "truncation_rate": 25,
        "empty_rate": 25,
        "tokens": (4 + 1 + 10 + 2) / 4,
        "characters": (4 + 2 + 10 + 2) / 4,
    }
    wilson = share_interval(1, 4)
    bounds = (figures["m"]["empty_rate_low"]["sw"], figures["m"]["empty_rate_high"]["sw"])
    assert bounds == pytest.approx((100 * wilson.low, 100 * wilson.high))
    assert not differences


def test_of_several_answers_the_different_ones_are_counted():
    rows = [answer("0", text, k) for k, text in enumerate("aab")] + [answer("1", "c", k) for k in range(3)]
    found = columns(rows)
    assert found[AnswerFigure.DISTINCT_RATE] == pytest.approx([200 / 3, 100 / 3])
    assert AnswerFigure.DISTINCT_RATE not in columns([answer("0", "a"), answer("1", "a")])


def test_what_is_not_known_of_every_answer_is_no_figure():
    given = columns([answer("0", "a", tokens=None, finish_reason="", off_language=None)])
    assert set(given) == {Figure.REPETITION_RATE, Figure.EMPTY_RATE, Figure.CHARACTERS}


def test_where_nothing_is_wrong_in_any_language_the_interval_still_has_a_width():
    rows = [answer(str(n), "a", code=code) for code in ("sw", "de") for n in range(10)]
    own = result({"m": rows}, None)[0]["m"]
    bound = 100 * share_interval(0, 10).high
    assert own["empty_rate"] == {"mean": 0, "sw": 0, "de": 0}
    assert own["empty_rate_high"] == pytest.approx({"mean": bound, "sw": bound, "de": bound})


def test_models_are_compared_prompt_by_prompt():
    one = [answer(str(n), "a" * (n + 1), off_language=n < 2) for n in range(8)]
    other = [answer(str(n), "a" * (2 * n + 1), off_language=n < 5) for n in range(8)]
    _, differences = result({"one": one, "other": other}, None)
    found = {(d.figure, d.language): d for d in differences}
    assert found["tokens", "sw"].value == pytest.approx(sum(range(8)) / 8)
    ours = found["off_language_rate", "mean"]
    theirs = paired_difference([100.0 * (n < 5) for n in range(8)], [100.0 * (n < 2) for n in range(8)], range(8))
    assert (ours.model, ours.baseline, ours.prompts) == ("other", "one", 8)
    assert (ours.value, ours.low, ours.high) == pytest.approx((37.5, theirs.low, theirs.high))
    # Characters say what tokens say; they are compared where nobody knows the tokens.
    assert ("characters", "sw") not in found
    given = {name: [answer(str(n), "a", tokens=None) for n in range(3)] for name in ("one", "other")}
    assert {d.figure for d in result(given, None)[1]} >= {"characters"}
