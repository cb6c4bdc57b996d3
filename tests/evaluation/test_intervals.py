"""Intervals against scipy, by hand, and by how often they cover the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from icr.evaluation.intervals import draws, mean_interval, paired_difference, resampled_means, share_interval


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 7), (412, 805)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilson_is_scipys(k, n, confidence):
    theirs = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    ours = share_interval(k, n, confidence)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_no_trials_say_nothing_and_nonsense_is_refused():
    assert math.isnan(share_interval(0, 0).low)
    for arguments in [(3, 2), (-1, 2), (1, 2, 1.0)]:
        with pytest.raises(ValueError, match=r"successes|confidence"):
            share_interval(*arguments)


def test_the_bootstrap_of_a_mean_is_scipys():
    values = np.random.default_rng(0).exponential(size=120)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    ours = mean_interval(values, range(120), samples=20_000)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_the_bootstrap_of_a_paired_difference_is_scipys():
    rng = np.random.default_rng(1)
    common = rng.normal(size=200)
    first, second = common + rng.normal(0.1, 0.5, 200), common + rng.normal(0, 0.5, 200)
    theirs = stats.bootstrap(
        (first, second),
        lambda a, b, axis: (a - b).mean(axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=2,
    )
    ours = paired_difference(first, second, range(200), samples=20_000)
    assert ours.value == pytest.approx((first - second).mean())
    low, high = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.004)
    assert ours.not_above == pytest.approx((theirs.bootstrap_distribution <= 0).mean(), abs=0.015)


def test_clusters_are_drawn_whole():
    """Every value four times in a cluster of its own: the interval is that of the values taken once."""
    values = np.random.default_rng(2).normal(size=60)
    one, four = mean_interval(values, range(60)), mean_interval(np.repeat(values, 4), np.repeat(range(60), 4).tolist())
    assert (four.low, four.high) == pytest.approx((one.low, one.high))
    assert mean_interval(np.repeat(values, 4), range(240)).high < mean_interval(values, range(60)).high


def test_what_one_of_them_lacks_is_left_out_and_counted():
    nan = math.nan
    found = paired_difference([1, 1, nan, 0, nan], [0, 1, 1, nan, nan], "aabcd")
    assert (found.value, found.clusters, found.left_out) == (0.5, 1, 2)
    nothing = paired_difference([nan], [1], "a")
    assert math.isnan(nothing.value)
    assert (nothing.clusters, nothing.left_out) == (0, 1)
    assert math.isnan(mean_interval([nan], "a").low)


def test_the_seed_makes_it_repeatable():
    values = np.random.default_rng(3).normal(size=50)
    assert mean_interval(values, range(50)) == mean_interval(values, range(50))
    assert mean_interval(values, range(50)) != mean_interval(values, range(50), seed=1)


def test_intervals_cover_the_true_difference_as_often_as_they_say():
    """400 data sets of 100 prompts in clusters of 1 to 3, with a common difficulty; a 95 % interval misses 5 %."""
    rng = np.random.default_rng(4)
    covered = 0
    for seed in range(400):
        clusters = np.repeat(np.arange(100), rng.integers(1, 4, 100))
        hard = rng.normal(size=100)[clusters]
        first = hard + 0.2 + rng.normal(0, 0.7, 100)[clusters] + rng.normal(0, 0.5, clusters.size)
        second = hard + rng.normal(0, 0.5, clusters.size)
        found = paired_difference(first, second, clusters.tolist(), samples=300, seed=seed)
        covered += found.low <= 0.2 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_each_draw_has_as_many_clusters_and_strata_are_drawn_together():
    drawn = draws(7, 50)
    assert drawn.shape == (50, 7)
    assert (drawn.sum(axis=1) == 7).all()
    means = resampled_means(np.array([[1.0, 2.0], [3.0, 6.0], [0.0, 0.0]]), np.ones((3, 2)), draws(3, 50))
    assert np.allclose(means[:, 1], 2 * means[:, 0])


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="one length"):
        mean_interval([1.0, 2.0], "a")
