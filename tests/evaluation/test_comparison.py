"""Several models on the same prompts: differences, their intervals, and joint length control."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats

from icr.errors import DataError
from icr.evaluation import JudgedResponse, compared

OPPONENT = "o" * 50


def row(id: object, language: str, preference: float | None, length: int = 40) -> JudgedResponse:
    """A judged answer of so many characters."""
    text, reason = "t" * length, "refused" if preference is None else ""
    return JudgedResponse(str(id), language, "?", text, 3, length, None, OPPONENT, None, "stop", preference, reason)


def model(seed: int, strength: float, languages=("en", "sw", "th"), prompts: int = 200) -> list[JudgedResponse]:
    """Verdicts with a difficulty that languages and models share."""
    hard, rng = np.random.default_rng(99).normal(size=prompts), np.random.default_rng(seed)
    return [
        row(n + 1, language, float(rng.normal() + hard[n] + strength > 0), int(rng.integers(20, 80)))
        for language in languages
        for n in range(prompts)
    ]


def test_difference_by_hand():
    rows = {
        "sft": [row("a", "sw", 0.0), row("b", "sw", 1.0), row("c", "sw", None), row("d", "sw", 0.5)],
        "M0": [row("a", "sw", 1.0), row("b", "sw", 1.0), row("c", "sw", 1.0), row("d", "sw", None)],
    }
    mean, swahili = compared(rows).differences
    assert (mean.model, mean.baseline, mean.figure) == ("M0", "sft", "win_rate")
    assert (mean.language, swahili.language) == ("mean", "sw")
    assert (swahili.value, swahili.prompts, swahili.left_out) == (50.0, 2, 2)
    assert (swahili.low, swahili.high) == (0.0, 100.0)
    assert swahili.not_above == pytest.approx(0.25, abs=0.03)  # b drawn twice


def test_intervals_are_scipys_with_languages_drawn_together():
    rows = {"sft": model(0, -0.5), "M0": model(1, 0.0)}
    found = {d.language: d for d in compared(rows).differences}
    table = np.array(
        [
            [100 * (b.preference - a.preference) for a, b in zip(*rows.values(), strict=True) if a.language == l]
            for l in ("sw", "th")
        ]
    )
    for language, values in {"sw": table[0], "th": table[1], "mean": table.mean(axis=0)}.items():
        theirs = stats.bootstrap((values,), np.mean, n_resamples=8000, method="percentile", rng=0).confidence_interval
        assert found[language].value == pytest.approx(values.mean())
        assert (found[language].low, found[language].high) == pytest.approx((theirs.low, theirs.high), abs=0.8)
    assert found["mean"].prompts == 400


def test_pairs_and_a_baseline():
    rows = {name: model(n, 0.0, ("sw",), 20) for n, name in enumerate(["sft", "M0", "M1"])}
    pairs = [(d.model, d.baseline) for d in compared(rows).differences if d.language == "mean"]
    assert pairs == [("M0", "sft"), ("M1", "sft"), ("M1", "M0")]
    pairs = [(d.model, d.baseline) for d in compared(rows, baseline="M0").differences if d.language == "mean"]
    assert pairs == [("sft", "M0"), ("M1", "M0")]
    with pytest.raises(ValueError, match="baseline must be one of"):
        compared(rows, baseline="M7")


def test_models_of_different_languages_are_compared_where_they_meet():
    rows = {"a": model(0, 0.0, ("sw", "th"), 20), "b": model(1, 0.0, ("th",), 20), "c": model(1, 0.0, ("de",), 20)}
    found = [(d.model, d.baseline, d.language) for d in compared(rows).differences]
    assert found == [("b", "a", "mean"), ("b", "a", "th")]


def test_notes_say_where_difficulty_is_from_and_what_has_no_verdict():
    rows = {"sft": model(0, 0.0, ("sw",), 20), "M0": [*model(1, 0.0, ("sw",), 19), row(20, "sw", None)]}
    for difficulty, words in {"alpaca_eval": "805", "joint": "jointly", None: "without"}.items():
        found = compared(rows, difficulty=difficulty)
        assert words in found.notes[0]
        assert found.notes[1:] == ["M0: 1 of 20 comparisons have no verdict (sw: refused (1))."]
        assert ("lc_win_rate_se" in found.figures["M0"]) == (difficulty is not None)
    assert "without" in compared({"sft": rows["sft"]}, difficulty="joint").notes[0]
    with pytest.raises(ValueError, match="difficulty must be"):
        compared(rows, difficulty="hard")
    with pytest.raises(DataError, match="'x'"):
        compared({"sft": [row("x", "sw", 1.0)]}, difficulty="alpaca_eval")


def test_a_full_table_takes_a_second_or_two():
    languages = ("en", "es", "ru", "de", "fr", "bn", "sw", "th", "zh")
    rows = {f"M{n}": model(n, 0.0, languages, 805) for n in range(5)}
    start = time.process_time()
    found = compared(rows, difficulty="alpaca_eval")
    assert time.process_time() - start < 5
    assert len(found.differences) == 10 * 10
