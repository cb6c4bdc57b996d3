"""Figures of log-probs by hand, and their intervals against those of the diagnosis and of two paired columns."""

from __future__ import annotations

import math

import numpy as np
import pytest

from icr.data.labelled import Labelled
from icr.evaluation import paired_difference
from icr.evaluation.diagnosis.shares import Shares
from icr.evaluation.preferences.figures import AGAINST_BASE, COMPARED, columns, differences, figures
from icr.evaluation.preferences.logps import PairLogps
from icr.evaluation.row_means import RowMeans
from icr.metrics import PreferenceFigure
from icr.types import Prompt


def row(id: str, code: str, category: str = "", cluster: str = "") -> Labelled:
    return Labelled(Prompt(id, code, "x", "x"), "good", "bad", cluster or id, category)


def means_of(rows: list[Labelled]) -> RowMeans:
    return RowMeans([r.prompt.language for r in rows], [r.cluster for r in rows], [r.category for r in rows])


def logps(id: str, heads: tuple[float, float], whole: tuple[float, float], code: str = "sw") -> PairLogps:
    """Of 6 and 4 tokens, three of which are compared at equal length."""
    return PairLogps(id, code, *whole, 6, 4, *heads, 3)


ROWS = [row(str(n), "sw") for n in range(4)]
BASE = [
    logps("0", (-3.0, -2.0), (-12.0, -8.0)),
    logps("1", (-3.0, -4.0), (-6.0, -8.0)),
    logps("2", (-3.0, -3.0), (-6.0, -4.0)),
    logps("3", (-3.0, -2.0), (-6.0, -4.0)),
]
OWN = [
    logps("0", (-2.0, -4.0), (-9.0, -8.0)),  # log-ratios 1 and −2; whole 3 and 0: right both times
    logps("1", (-3.5, -3.0), (-6.0, -9.0)),  # −0.5 and 1: wrong; whole 0 and −1: right
    logps("2", (-2.5, -2.5), (-9.0, -4.0)),  # 0.5 and 0.5: a tie; whole −3 and 0: wrong
    logps("3", (-1.5, -1.0), (-5.0, -2.5)),  # 1.5 and 1: right; whole 1 and 1.5: wrong
]


def test_each_figure_is_its_equation():
    found = figures(columns(OWN, BASE), means_of(ROWS))
    values = {name: by["sw"] for name, by in found.items() if not name.endswith(("_low", "_high"))}
    assert values == {
        "preference_accuracy": 50,
        "preference_accuracy_given": 50,
        "preference_ties": 25,
        # (3 − 1.5 + 0 + 0.5) / 3 tokens / 4 rows
        "preference_margin": pytest.approx(2 / 3 / 4),
        "chosen_likelier": 25,
        "chosen_likelier_given": 25,
        "base_likelier": 25,
        "base_less_likely": 50,
        "chosen_logp": pytest.approx(-(9 + 6 + 9 + 5) / 6 / 4),
        "rejected_logp": pytest.approx(-(8 + 9 + 4 + 2.5) / 4 / 4),
        "labelled_prompts": 4,
        "labelled_rows": 4,
    }
    assert found["preference_accuracy"]["mean"] == 50


def test_the_base_against_itself_has_no_accuracy_rather_than_none_right():
    found = figures(columns(BASE, BASE), means_of(ROWS))
    for name in AGAINST_BASE:
        assert math.isnan(found[name]["sw"])
        assert math.isnan(found[name]["mean"])
    assert found["chosen_likelier"]["sw"] == found["base_likelier"]["sw"] == 25
    assert found["chosen_logp"]["sw"] == pytest.approx(-(12 + 6 + 6 + 6) / 6 / 4)


def test_a_language_is_the_mean_of_its_categories_and_the_mean_that_of_languages_but_english():
    rows = [
        row("0", "sw", "chat"),
        row("1", "sw", "chat"),
        row("2", "sw", "chat"),
        row("3", "sw", "safety"),
        row("0", "de", "chat"),
        row("0", "en", "chat"),
    ]
    means = means_of(rows)
    found = means.estimates(np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0]))
    assert {code: one.value for code, one in found.items()} == {
        "mean": pytest.approx((1 / 3 + 1) / 2),
        "sw": pytest.approx(1 / 3),
        "de": 1,
        "en": 0,
    }
    assert (means.prompts("mean"), means.rows_in("mean"), found["sw"].prompts) == (5, 5, 4)


@pytest.mark.parametrize("several", [False, True])
def test_intervals_of_a_language_are_the_diagnosis_own(several):
    rng = np.random.default_rng(0)
    categories = ["chat", "safety"] if several else [""]
    rows = [
        row(str(n), code, categories[n % len(categories)], str(n // 2 if several else n))
        for code in ("sw", "de")
        for n in range(30)
    ]
    hits = (rng.random(60) < 0.7).astype(float)
    found = means_of(rows).shares(hits)
    clusters, of = [r.cluster for r in rows[:30]], [r.category for r in rows[:30]]
    assert found["sw"] == Shares({"": hits[:30]}, {"": np.ones(30)}, clusters, of, 0.95).share("")
    assert found["mean"].low < found["mean"].value < found["mean"].high


def test_translations_of_a_prompt_are_drawn_together():
    """Four languages that are one language: the interval of their mean is that of any of them, not half as wide."""
    rng = np.random.default_rng(1)
    rows = [row(str(n), code) for code in ("sw", "de", "th", "bn") for n in range(40)]
    values = np.tile(rng.normal(size=40), 4)
    found = means_of(rows).estimates(values)
    mean, one = ((found[code].value, found[code].low, found[code].high) for code in ("mean", "sw"))
    assert mean == pytest.approx(one)


def test_differences_are_paired_by_prompt():
    rng = np.random.default_rng(2)
    rows = [row(str(n), "sw", cluster=str(n // 2)) for n in range(40)]

    def drawn() -> list[PairLogps]:
        heads, whole = rng.normal(-5, 1, (40, 2)), rng.normal(-9, 1, (40, 2))
        return [logps(r.prompt.id, tuple(h), tuple(w)) for r, h, w in zip(rows, heads, whole, strict=True)]

    base, *models = drawn(), drawn(), drawn()
    found = {name: columns(own, base) for name, own in zip(("a", "b"), models, strict=True)}
    all_found = {(d.figure, d.language): d for d in differences(found, means_of(rows), None)}
    assert {figure for figure, _ in all_found} == set(COMPARED)
    for figure in COMPARED:
        ours = all_found[figure, "sw"]
        theirs = paired_difference(found["b"][figure], found["a"][figure], [r.cluster for r in rows])
        assert (ours.model, ours.baseline, ours.prompts) == ("b", "a", 20)
        assert (ours.value, ours.low, ours.high, ours.not_above) == pytest.approx(
            (theirs.value, theirs.low, theirs.high, theirs.not_above)
        )


def test_what_the_base_has_no_figure_of_is_not_compared_with_it():
    found = {"base": columns(BASE, BASE), "own": columns(OWN, BASE)}
    compared = {d.figure for d in differences(found, means_of(ROWS), "base")}
    assert compared == {
        PreferenceFigure.LIKELIER,
        PreferenceFigure.CHOSEN_LOGP,
        PreferenceFigure.REJECTED_LOGP,
    }
