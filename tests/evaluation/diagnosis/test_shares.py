"""Shares and their intervals, against brute force and scipy-free formulas written out."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from icr.evaluation.accuracy import reward_accuracy
from icr.evaluation.diagnosis.samples import agreed, rank_correlation
from icr.evaluation.diagnosis.shares import Shares


def shares(hits, counted=None, clusters=None, categories=None) -> Shares:
    """Of one way, `a`, or of several."""
    hits = hits if isinstance(hits, dict) else {"a": hits}
    hits = {name: np.asarray(values, float) for name, values in hits.items()}
    rows = len(next(iter(hits.values())))
    counts = dict.fromkeys(hits, np.ones(rows) if counted is None else np.asarray(counted, float))
    return Shares(hits, counts, clusters or range(rows), categories or [""] * rows, 0.95)


def test_a_plain_share_has_wilsons_interval():
    found = shares([1] * 8 + [0] * 2).share("a")
    # The interval of 8 of 10 at z = 1.959964, as textbooks have it.
    assert (found.value, found.comparisons, found.prompts) == (0.8, 10, 10)
    assert (found.low, found.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


def test_subsets_count_by_size_within_a_category_and_categories_alike():
    # Chat: 3 of 4 and 1 of 1 → 4 of 5. Safety: 0 of 2 and 1 of 1 → 1 of 3. Mean of 0.8 and 1/3.
    hits = [1, 1, 1, 0, 1, 0, 0, 1]
    found = shares(hits, categories=["Chat"] * 5 + ["Safety"] * 3).share("a")
    assert found.value == pytest.approx((4 / 5 + 1 / 3) / 2)


def test_several_comparisons_of_a_prompt_are_one_draw():
    """Ten copies of every comparison say no more than one of each: the interval stays as wide."""
    rng = np.random.default_rng(1)
    once = rng.integers(0, 2, 60)
    alone = shares(once).share("a")
    tenfold = shares(np.repeat(once, 10), clusters=np.repeat(range(60), 10).tolist()).share("a")
    assert tenfold.value == alone.value
    assert tenfold.high - tenfold.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert (tenfold.comparisons, tenfold.prompts) == (600, 60)


def test_a_difference_is_paired():
    """Two ways that fail on the same prompts but one: the difference is known far better than either share."""
    one = np.array([1, 0] * 100)
    two = one.copy()
    two[:8:2] = 0
    both = shares({"one": one, "two": two})
    difference = both.difference("one", "two")
    assert difference.value == pytest.approx(4 / 200)
    # Standard error of a mean of 4 ones and 196 zeros: √(0.02·0.98/200) = 0.0099.
    assert difference.low == pytest.approx(0.02 - 1.96 * 0.0099, abs=0.006)
    assert difference.high - difference.low < 0.3 * (both.share("one").high - both.share("one").low)


def test_nothing_compared_is_nan():
    found = shares([0.0, 0.0], counted=[0, 0]).share("a")
    assert all(map(math.isnan, (found.value, found.low, found.high)))
    assert found.prompts == 0


def test_bootstrapped_intervals_cover():
    """Of 60 draws of 40 prompts with 3 comparisons each, about 95 % of the intervals hold the truth."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(60):
        chance = rng.beta(6, 3, 40)
        hits = rng.binomial(3, chance)
        found = shares(hits, counted=[3] * 40).share("a")
        inside += found.low <= 2 / 3 <= found.high
    assert 0.88 <= inside / 60 <= 1


@pytest.mark.parametrize("seed", range(4))
def test_comparisons_are_those_of_reward_accuracy(seed):
    rng = np.random.default_rng(seed)
    rewards, quality = rng.integers(0, 4, (12, 5)).astype(float), rng.integers(0, 3, (12, 5)).astype(float)
    within = rng.random((12, 5)) < 0.8
    hits, counted = agreed(rewards, quality, within, tie=0.5)
    groups = np.repeat(range(12), 5).reshape(12, 5)[within].tolist()
    assert hits.sum() / counted.sum() == pytest.approx(reward_accuracy(rewards[within], quality[within], groups))
    strict, _ = agreed(rewards, quality, within, tie=0)
    equal = sum(
        rewards[n, i] == rewards[n, j] and quality[n, i] != quality[n, j]
        for n in range(12)
        for i, j in combinations(np.flatnonzero(within[n]), 2)
    )
    assert hits.sum() - strict.sum() == equal / 2


def test_the_rank_correlation_is_kendalls():
    """One prompt, by hand: of 6 comparisons 3 agree, 2 do not, and one is tied in a."""
    a, b = np.array([[1.0, 2.0, 2.0, 4.0]]), np.array([[1.0, 3.0, 2.0, 1.5]])
    # (1,2)+ (1,3)+ (1,4)+ (2,3) tied in a (2,4)− (3,4)−
    assert rank_correlation(a, b, np.ones((1, 4), bool)) == pytest.approx((3 - 2) / math.sqrt(5 * 6))
    assert rank_correlation(a, -a, np.ones((1, 4), bool)) == -1
    assert math.isnan(rank_correlation(a, np.ones((1, 4)), np.ones((1, 4), bool)))
    # Prompts are not compared with one another.
    apart = np.array([[1.0, 2.0], [5.0, 6.0]]), np.array([[9.0, 10.0], [1.0, 2.0]])
    assert rank_correlation(*apart, np.ones((2, 2), bool)) == 1
