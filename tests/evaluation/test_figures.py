"""Figures of judged answers, by hand."""

from __future__ import annotations

import math

import pytest

from icr.evaluation import JudgedResponse, figures


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
