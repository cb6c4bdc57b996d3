"""Paired differences over seeds, with Student's interval, and what they say about a claim."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import NamedTuple

from icr.report.sweep.points import half_width


class Interval(NamedTuple):
    """A mean over seeds and its 95 % interval; without bounds (NaN) for fewer than two seeds."""

    mean: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        if not self.seeds:
            return "–"
        if self.seeds == 1:
            return f"{self.mean:+.1f} (one seed)"
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"


def interval(values: list[float]) -> Interval:
    """`mean ± t_{0.975, n−1}·s/√n`, the interval of a mean of `n` independent normal values."""
    if not values:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan, len(values))
    half = half_width(values)
    return Interval(mean, mean - half, mean + half, len(values))


def paired(better: Mapping[int, float], than: Mapping[int, float]) -> Interval:
    """Interval of the difference, seed by seed, over the seeds that have both."""
    return interval([better[seed] - than[seed] for seed in sorted({*better} & {*than})])


def verdict(difference: Interval) -> str:
    """`holds` or `does not hold` where the interval lies on one side of 0, else `undecided`; `not run` of no seed."""
    if not difference.seeds:
        return "not run"
    if math.isnan(difference.low) or difference.low <= 0 <= difference.high:
        return "undecided"
    return "holds" if difference.low > 0 else "does not hold"
