"""The win rate, by hand."""

import math

import numpy as np
import pytest

from icr.evaluation.win_rate import (
    by_language,
    prompt_means,
    standard_errors,
    win_rate,
    win_rate_standard_error,
    with_mean,
)


def test_wins_losses_and_ties_by_hand():
    assert win_rate([1.0, 0.0, 0.5, 1.0], "abcd") == 62.5
    assert prompt_means([1.0, 0.0, 0.5, 1.0], "abcd").tolist() == [1.0, 0.0, 0.5, 1.0]


def test_swapping_the_sides_gives_the_complement():
    outcomes = np.random.default_rng(0).integers(0, 3, 300) / 2
    assert win_rate(outcomes, range(300)) + win_rate(1 - outcomes, range(300)) == pytest.approx(100)


def test_standard_error_by_hand_and_against_resampling():
    # outcomes 1, 0, 1, 1: mean .75, sample variance .25, so 100·√(.25/4)
    assert win_rate_standard_error([1, 0, 1, 1], "abcd") == pytest.approx(25.0)
    rng = np.random.default_rng(1)
    outcomes = rng.integers(0, 3, 400) / 2
    resampled = np.std([outcomes[rng.integers(0, 400, 400)].mean() for _ in range(2000)]) * 100
    assert win_rate_standard_error(outcomes, range(400)) == pytest.approx(resampled, rel=0.1)
    assert math.isnan(win_rate_standard_error([1], "a"))


def test_with_one_answer_per_prompt_the_figures_are_those_over_rows_to_the_last_digit():
    outcomes = np.random.default_rng(2).integers(0, 3, 201) / 2
    assert win_rate(outcomes, range(201)) == float(100.0 * outcomes.mean())
    assert win_rate_standard_error(outcomes, range(201)) == float(100.0 * outcomes.std(ddof=1) / math.sqrt(201))


def test_the_answers_to_a_prompt_are_one_cluster():
    # prompts a, b, c with four answers each: means 1, 1/4 and 3/4
    outcomes, prompts = [1, 1, 1, 1, 0, 0, 0.5, 0.5, 1, 1, 1, 0], "aaaabbbbcccc"
    assert win_rate(outcomes, prompts) == pytest.approx(100 * (1 + 1 / 4 + 3 / 4) / 3)
    # their mean is 2/3, the deviations 1/3, -5/12 and 1/12: sample variance (16 + 25 + 1)/144/2 = 7/48
    assert win_rate_standard_error(outcomes, prompts) == pytest.approx(100 * math.sqrt(7 / 48 / 3))


def test_repeating_every_answer_changes_no_figure():
    outcomes = np.random.default_rng(3).integers(0, 3, 50) / 2
    four, prompts = np.repeat(outcomes, 4), np.repeat(np.arange(50), 4)
    assert win_rate(four, prompts) == win_rate(outcomes, range(50))
    assert win_rate_standard_error(four, prompts) == win_rate_standard_error(outcomes, range(50))


def test_prompts_count_alike_whatever_they_lack_verdicts_on():
    outcomes, prompts = [1, math.nan, 0, 0, math.nan, math.nan], "aabbcc"
    assert prompt_means(outcomes, prompts).tolist() == [1.0, 0.0]
    assert win_rate(outcomes, prompts) == 50.0
    assert math.isnan(win_rate([math.nan], "a"))
    assert math.isnan(win_rate_standard_error([math.nan, 1], "ab"))


def test_mean_is_over_targets_and_over_english_only_if_alone():
    assert with_mean({"en": 90.0, "es": 40.0, "ru": 50.0}) == {"mean": 45.0, "en": 90.0, "es": 40.0, "ru": 50.0}
    assert with_mean({"en": 90.0}) == {"mean": 90.0, "en": 90.0}
    assert with_mean({}) == {} == standard_errors([], [], [])
    assert math.isnan(with_mean({"en": 1.0, "es": math.nan, "ru": 2.0})["mean"])


def test_error_of_the_mean_by_hand_where_languages_share_no_prompt_and_where_they_share_all():
    outcomes = [1, 0, 1, 1, 0.5, 0, 0, 1]
    languages, apart = ["es"] * 4 + ["ru"] * 4, "abcdefgh"
    es, ru = win_rate_standard_error(outcomes[:4], "abcd"), win_rate_standard_error(outcomes[4:], "abcd")
    found = standard_errors(["en", "en", *languages], [1, 0, *outcomes], ["a", "b", *apart])
    assert found == {"mean": pytest.approx(math.sqrt(es**2 + ru**2) / 2), "en": 50.0, "es": es, "ru": ru}
    same = standard_errors(languages, outcomes[:4] * 2, "abcdabcd")
    assert same["mean"] == pytest.approx(es)  # the same verdicts again make nothing surer
    opposite = standard_errors(languages, [*outcomes[:4], *(1 - q for q in outcomes[:4])], "abcdabcd")
    assert opposite["mean"] == pytest.approx(0)
    assert math.isnan(standard_errors(["es", "ru", "ru"], [1, 1, 0], "aab")["mean"])


def test_error_of_the_mean_against_resampling_of_ids():
    rng = np.random.default_rng(4)
    hard = rng.normal(size=300)
    table = (rng.normal(size=(3, 300)) + hard > 0).astype(float)
    table[2, 200:] = np.nan  # a language without some of the prompts
    languages, ids = np.repeat(["es", "ru", "th"], 300).tolist(), np.tile(np.arange(300), 3).tolist()
    drawn = (np.nanmean(table[:, rng.integers(0, 300, 300)], axis=1).mean() for _ in range(3000))
    found = standard_errors(languages, table.ravel(), ids)
    assert found["mean"] == pytest.approx(100 * np.std(list(drawn)), rel=0.06)
    assert found["mean"] > 1.2 * math.sqrt(sum(found[l] ** 2 for l in ("es", "ru", "th"))) / 3


def test_by_language_cuts_rows_and_keeps_the_order_asked_for():
    languages, outcomes, ids = ["es", "en", "es", "th"], [1, 1, 0, 0.5], ["a", "a", "b", "a"]
    rates = by_language(win_rate, languages, outcomes, ids, order=["en", "es", "fr"])
    assert list(rates.items()) == [("en", 100.0), ("es", 50.0), ("th", 50.0)]
    with pytest.raises(ValueError, match="columns of lengths"):
        by_language(win_rate, languages, outcomes[:3], ids)


@pytest.mark.parametrize(
    ("outcomes", "prompts"), [([], ""), ([1, 0], "a"), ([1.5], "a"), ([-0.1], "a"), ([math.inf], "a"), ([[1]], "a")]
)
def test_unusable_preferences_are_refused(outcomes, prompts):
    with pytest.raises(ValueError, match=r"non-empty|outside"):
        win_rate(outcomes, prompts)
