"""Reward accuracy against brute force over every pair."""

import itertools
import math

import numpy as np
import pytest

from icr.evaluation.accuracy import reward_accuracy


def _brute_force(rewards, scores, groups):
    agreed = counted = 0
    for i, j in itertools.combinations(range(len(rewards)), 2):
        if groups[i] == groups[j] and scores[i] != scores[j]:
            counted += 1
            better, worse = (i, j) if scores[i] > scores[j] else (j, i)
            agreed += 1.0 if rewards[better] > rewards[worse] else 0.5 if rewards[better] == rewards[worse] else 0.0
    return agreed / counted if counted else math.nan


@pytest.mark.parametrize("seed", range(8))
def test_equals_brute_force_with_ties_on_both_sides(seed):
    rng = np.random.default_rng(seed)
    rewards, scores = rng.integers(0, 5, 90).tolist(), rng.integers(0, 4, 90).tolist()
    groups = [(f"p{g}", "es") for g in rng.integers(0, 12, 90)]
    assert reward_accuracy(rewards, scores, groups) == pytest.approx(_brute_force(rewards, scores, groups), abs=1e-12)


def test_by_hand():
    assert reward_accuracy([3, 1, 1], [0.9, 0.5, 0.1], ["a"] * 3) == pytest.approx((1 + 1 + 0.5) / 3)
    assert reward_accuracy([1, 2], [0.9, 0.1], ["a", "a"]) == 0.0
    assert reward_accuracy([1, 2], [0.9, 0.1], ["a", "b"]) != reward_accuracy([1, 2], [0.9, 0.1], ["a", "a"])


def test_nan_where_nothing_can_be_compared():
    assert math.isnan(reward_accuracy([], [], []))
    assert math.isnan(reward_accuracy([1, 2], [0.5, 0.5], ["a", "a"]))
    assert math.isnan(reward_accuracy([1, 2], [0.2 + 0.2 + 0.2, 0.6], ["a", "a"]))


def test_unusable_input_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        reward_accuracy([1.0, math.nan], [1, 2], ["a", "a"])
    with pytest.raises(ValueError, match="one length"):
        reward_accuracy([1.0, 2.0], [1, 2], ["a"])
