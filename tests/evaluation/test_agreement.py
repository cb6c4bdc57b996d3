"""Flips by hand, and κ against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from icr.evaluation.agreement import flip_rate, order_kappa


def test_a_flip_is_another_winner_among_what_both_orders_decide():
    nan = math.nan
    first, second = [1, 0.9, 0, 0.5, 1, nan, 0.4], [1, 0.2, 0, 1, 0.5, 0, 0.6]
    assert flip_rate(first, second) == 50.0  # of the 4 decided in both, the second and the last
    assert math.isnan(flip_rate([0.5, nan], [1, 1]))


def test_kappa_is_scikit_learns():
    rng = np.random.default_rng(0)
    for _ in range(20):
        first = rng.integers(0, 3, 60) / 2
        second = np.where(rng.random(60) < 0.6, first, rng.integers(0, 3, 60) / 2)
        theirs = cohen_kappa_score((2 * first).astype(int), (2 * second).astype(int))
        assert order_kappa(first, second) == pytest.approx(theirs, abs=1e-12)


def test_kappa_counts_what_has_both_orders():
    nan = math.nan
    assert order_kappa([1, 0, nan, 0.7], [1, 0, 1, nan]) == 1.0
    assert order_kappa([1, 0], [0, 1]) == -1.0
    assert math.isnan(order_kappa([1, 1], [1, 1]))
    assert math.isnan(order_kappa([nan], [1]))
