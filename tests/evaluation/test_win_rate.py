"""The win rate, by hand."""

import math

import numpy as np
import pytest

from icr.evaluation.win_rate import (
    by_language,
    preferences,
    win_rate,
    win_rate_standard_error,
    with_mean,
    with_mean_error,
)


def test_wins_losses_and_ties_by_hand():
    scores, opponent = [1.0, 0.2, 0.6, 0.8], [0.5, 0.4, 0.6, 0.1]
    assert preferences(scores, opponent).tolist() == [1.0, 0.0, 0.5, 1.0]
    assert win_rate(scores, opponent) == pytest.approx(62.5)


def test_scores_that_differ_only_in_rounding_tie():
    assert 0.2 + 0.2 + 0.2 != 0.6
    assert win_rate([0.2 + 0.2 + 0.2], [0.6]) == 50.0


def test_swapping_the_sides_gives_the_complement():
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(0, 5, 300) / 5, rng.integers(0, 5, 300) / 5
    assert win_rate(ours, theirs) + win_rate(theirs, ours) == pytest.approx(100)


def test_standard_error_by_hand_and_against_resampling():
    # outcomes 1, 0, 1, 1: mean .75, sample variance .25, so 100·√(.25/4)
    assert win_rate_standard_error([1, 0, 1, 1], [0, 1, 0, 0]) == pytest.approx(25.0)
    rng = np.random.default_rng(1)
    ours, theirs = rng.integers(0, 5, 400), rng.integers(0, 5, 400)
    draws = rng.integers(0, 400, (2000, 400))
    resampled = np.std([preferences(ours[d], theirs[d]).mean() for d in draws]) * 100
    assert win_rate_standard_error(ours, theirs) == pytest.approx(resampled, rel=0.1)
    assert math.isnan(win_rate_standard_error([1], [0]))


def test_mean_is_over_targets_and_over_english_only_if_alone():
    assert with_mean({"en": 90.0, "es": 40.0, "ru": 50.0}) == {"mean": 45.0, "en": 90.0, "es": 40.0, "ru": 50.0}
    assert with_mean({"en": 90.0}) == {"mean": 90.0, "en": 90.0}
    assert with_mean({}) == {} == with_mean_error({})
    assert math.isnan(with_mean({"en": 1.0, "es": math.nan, "ru": 2.0})["mean"])
    assert with_mean_error({"en": 9.0, "es": 3.0, "ru": 4.0})["mean"] == pytest.approx(2.5)


def test_by_language_cuts_rows_and_keeps_the_order_asked_for():
    languages, ours, theirs = ["es", "en", "es", "th"], [1, 1, 0, 0], [0, 0, 1, 0]
    rates = by_language(win_rate, languages, ours, theirs, order=["en", "es", "fr"])
    assert list(rates.items()) == [("en", 100.0), ("es", 50.0), ("th", 50.0)]
    with pytest.raises(ValueError, match="columns of lengths"):
        by_language(win_rate, languages, ours[:3], theirs)


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1, 2], [1]), ([math.nan], [1]), ([[1]], [[1]])])
def test_unusable_scores_are_refused(ours, theirs):
    with pytest.raises(ValueError, match=r"non-empty|not finite"):
        win_rate(ours, theirs)
