"""Intervals of shares, of means over clusters, and of differences between two systems on the same clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

CONFIDENCE = 0.95
SAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds in the unit of what they bound; NaN where nothing can be said."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference, the first system less the second.

    Attributes:
        value: in the unit of the values.
        low, high: its bootstrap interval.
        not_above: share of the bootstrap samples in which the first is no better (the difference is 0 or less): a
            one-sided p-value.
        clusters: on which both systems have values.
        left_out: clusters on which one of them lacks a value that the other has.
    """

    value: float
    low: float
    high: float
    not_above: float
    clusters: int
    left_out: int


def share_interval(successes: float, n: float, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's interval of a share (Wilson 1927, JASA 22): `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)`.

    It stays within [0, 1] and has a width where all or none succeed. The trials are taken as independent.

    Args:
        successes: a tie may count a half.
        n: trials; with none, NaN.

    Raises:
        ValueError: successes outside `[0, n]`, or confidence outside (0, 1).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n = {n}, got {successes}")
    if n == 0:
        return Interval(math.nan, math.nan)
    z, p = _quantile(confidence), successes / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n)))


def mean_interval(
    values: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    samples: int = SAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of the mean of all values, whole clusters being drawn.

    For values of which several belong together, such as the pairs of one prompt, or a prompt's pairs in all languages.

    Args:
        values: NaN where there is none. Shape `[N]`.
        clusters: what belongs together. Length `N`.

    Raises:
        ValueError: lengths differ.
    """
    array = _column(values, clusters)
    known = np.flatnonzero(~np.isnan(array)).tolist()
    if not known:
        return Interval(math.nan, math.nan)
    sums, counts = _totals(array[known], [clusters[row] for row in known])
    return percentiles(resampled_means(sums, counts, draws(len(sums), samples, seed))[:, 0], confidence)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    clusters: Sequence[Hashable],
    *,
    samples: int = SAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Difference:
    """Mean of `first − second` over the items that have both, with the percentile bootstrap over clusters.

    Both systems are drawn on the same clusters, so that what is hard for both cancels.

    Args:
        first, second: of the same items, such as whether each pair was ordered rightly; NaN where there is no value.
            Shape `[N]`.
        clusters: what belongs together, such as the prompt of the pair. Length `N`.

    Raises:
        ValueError: lengths differ.
    """
    one, other = _column(first, clusters), _column(second, clusters)
    difference = one - other
    both = np.flatnonzero(~np.isnan(difference)).tolist()
    either = np.flatnonzero(np.isnan(one) != np.isnan(other)).tolist()
    left_out = len({clusters[row] for row in either})
    if not both:
        return Difference(math.nan, math.nan, math.nan, math.nan, 0, left_out)
    sums, counts = _totals(difference[both], [clusters[row] for row in both])
    means = resampled_means(sums, counts, draws(len(sums), samples, seed))[:, 0]
    bounds = percentiles(means, confidence)
    value = float(difference[both].mean())
    return Difference(value, bounds.low, bounds.high, float((means <= 0).mean()), len(sums), left_out)


def draws(clusters: int, samples: int = SAMPLES, seed: int = 0) -> Floats:
    """How often each cluster is drawn in each bootstrap sample, `clusters` of them with replacement. Shape `[B, C]`."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=samples).astype(np.float64)


def resampled_means(sums: Floats, counts: Floats, drawn: Floats) -> Floats:
    """Means of each stratum in each bootstrap sample, all strata being drawn together: `Σ_c w_c·s_c / Σ_c w_c·n_c`.

    Args:
        sums, counts: of the values of each cluster in each stratum, such as a language. Shape `[C, S]`.
        drawn: `w`, as `draws`. Shape `[B, C]`.

    Returns:
        Shape `[B, S]`; NaN where a sample has no value of a stratum.
    """
    weight = drawn @ counts
    means: Floats = np.divide(drawn @ sums, weight, out=np.full(weight.shape, math.nan), where=weight > 0)
    return means


def percentiles(statistics: Floats, confidence: float = CONFIDENCE) -> Interval:
    """The interval between the `(1 ∓ confidence)/2` quantiles of bootstrap statistics, those that are NaN left out.

    Raises:
        ValueError: confidence outside (0, 1).
    """
    _quantile(confidence)
    known = statistics[~np.isnan(statistics)]
    if known.size == 0:
        return Interval(math.nan, math.nan)
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def _quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _column(values: ArrayLike, clusters: Sequence[Hashable]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(clusters) != array.size:
        raise ValueError(f"need columns of one length, got shape {array.shape} and {len(clusters)} clusters")
    return array


def _totals(values: Floats, clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Sum and number of the values of each cluster, clusters in order of appearance. Shape `[C, 1]` each."""
    number = {cluster: n for n, cluster in enumerate(dict.fromkeys(clusters))}
    totals = np.zeros((2, len(number), 1))
    np.add.at(totals[0, :, 0], [number[cluster] for cluster in clusters], values)
    np.add.at(totals[1, :, 0], [number[cluster] for cluster in clusters], 1)
    return totals[0], totals[1]
