"""Figures of judged answers, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from icr.evaluation import JudgedResponse, figures, reasons
from icr.metrics import Figure


def row(id: str, language: str, preference: float | None, score: float | None = None) -> JudgedResponse:
    """A judged answer."""
    reason = "refused" if preference is None else ""
    return JudgedResponse(id, language, "?", "text", 3, 4, score, "other", None, "stop", preference, reason)


def test_figures_by_hand():
    rows = [row(str(n), "en", q, s) for n, (q, s) in enumerate([(1.0, 0.8), (0.5, 0.6)])]
    rows += [row(str(n), "sw", q, s) for n, (q, s) in enumerate([(0.0, 0.1), (1.0, 0.5)])]
    found = figures(rows)
    assert found["win_rate"] == {"mean": 50.0, "en": 75.0, "sw": 50.0}
    assert found["win_rate_se"] == pytest.approx({"mean": 50.0, "en": 25.0, "sw": 50.0})
    assert found["judge_score"] == pytest.approx({"mean": 0.3, "en": 0.7, "sw": 0.3})
    assert found["unjudged"] == {"mean": 0.0, "en": 0.0, "sw": 0.0}
    assert set(found["lc_win_rate"]) == {"mean", "en", "sw"}


def test_more_answers_per_prompt_do_not_make_it_surer():
    one = [row(id, "sw", q) for id, q in zip("abcd", [1.0, 0.0, 0.5, 1.0], strict=True)]
    four = [answer for answer in one for _ in range(4)]
    assert figures(four)["win_rate_se"] == figures(one)["win_rate_se"]
    assert figures(four)["win_rate"] == figures(one)["win_rate"]


def test_what_has_no_verdict_is_counted_and_not_a_loss():
    rows = [row("a", "sw", 1.0), row("b", "sw", 0.0), row("c", "sw", None), row("a", "th", 1.0), row("b", "th", 1.0)]
    found = figures(rows)
    assert found["win_rate"] == {"mean": 75.0, "sw": 50.0, "th": 100.0}
    assert found["unjudged"] == {"mean": 0.5, "sw": 1.0, "th": 0.0}
    without = figures([row for row in rows if row.preference is not None])
    assert found["lc_win_rate"] == without["lc_win_rate"]
    assert found["win_rate_se"] == without["win_rate_se"]


def test_a_language_without_a_verdict_is_not_left_out_of_the_mean():
    found = figures([row("a", "sw", 1.0), row("b", "sw", 0.0), row("a", "th", None)])
    for name in ("win_rate", "lc_win_rate", "win_rate_se"):
        assert math.isnan(found[name]["th"])
        assert math.isnan(found[name]["mean"])
    assert found["unjudged"]["th"] == 1.0


def test_scores_are_shown_where_the_judge_gives_them():
    assert "judge_score" not in figures([row("a", "sw", 1.0)])
    found = figures([row("a", "sw", 1.0, 0.4), row("b", "sw", None), row("a", "th", None)])
    assert found["judge_score"]["sw"] == 0.4
    assert math.isnan(found["judge_score"]["th"])


def test_length_control_weighs_prompts_alike_whatever_the_number_of_answers():
    one = [
        answer(id, q, text)
        for id, q, text in [("a", 1.0, "ten" * 9), ("b", 0.0, "x"), ("c", 1.0, "yes"), ("d", 0.5, "")]
    ]
    four = [row for row in one for _ in range(4)]
    assert figures(four)["lc_win_rate"]["sw"] == pytest.approx(figures(one)["lc_win_rate"]["sw"])


def answer(id: str, preference: float | None, text: str, **fields) -> JudgedResponse:
    """A judged answer in Swahili, in full."""
    plain = row(id, "sw", preference)
    return replace(plain, text=text, characters=len(text), **fields)


def test_what_answers_are_like_by_hand():
    rows = [
        answer("a", 1.0, "abcd", tokens=4, finish_reason="stop", off_language=False, shown_first=1.0, shown_second=1.0),
        answer(
            "b", 0.5, "na " * 40, tokens=8, finish_reason="length", off_language=True, shown_first=1.0, shown_second=0.0
        ),
        answer("c", None, " \n", tokens=None, finish_reason="", off_language=None),
        answer("d", 0.25, "efgh", tokens=3, finish_reason="stop", off_language=True, shown_first=0.0, shown_second=0.5),
    ]
    found = {name: values["sw"] for name, values in figures(rows).items()}
    assert found["characters"] == pytest.approx((4 + 120 + 2 + 4) / 4)
    assert found["reference_characters"] == 5.0
    assert found["tokens"] == 5.0
    assert found["empty_rate"] == 25.0
    assert found["truncation_rate"] == pytest.approx(100 / 3)
    assert found["repetition_rate"] == 25.0
    assert found["off_language_rate"] == pytest.approx(200 / 3)
    assert found["flip_rate"] == 50.0
    assert found["order_kappa"] == pytest.approx((1 / 3 - 1 / 3) / (1 - 1 / 3))
    assert reasons(rows) == {"sw": {"refused": 1}}


def test_every_figure_is_in_the_list_and_in_its_order():
    full = answer("1", 1.0, "x", finish_reason="stop", off_language=False, shown_first=1.0, shown_second=1.0)
    rows = [replace(full, score=0.5), replace(full, id="2", preference=0.0, score=0.5)]
    assert list(figures(rows, {("1", "sw"): 0.5, ("2", "sw"): -0.5})) == [str(figure) for figure in Figure]
    assert all(figure.about for figure in Figure)
    left_out = {"judge_score", "flip_rate", "order_kappa", "off_language_rate", "tokens", "lc_win_rate_se"}
    assert left_out.isdisjoint(figures([answer("1", 1.0, "x", tokens=None)]))


def test_the_error_of_the_mean_knows_that_languages_share_prompts():
    rows = [row(id, l, q) for l in ("sw", "th") for id, q in zip("abcd", [1.0, 0.0, 1.0, 1.0], strict=True)]
    found = figures(rows)["win_rate_se"]
    assert found["mean"] == pytest.approx(found["sw"])
