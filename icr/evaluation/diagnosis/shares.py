"""Shares of comparisons with their intervals, where comparisons of one prompt belong together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value, low, high: the figure, and the ends of its interval; NaN where nothing was compared.
        comparisons: that it is over.
        prompts: that these belong to.
    """

    value: float
    low: float
    high: float
    comparisons: int
    prompts: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Shares:
    """Shares of comparisons that several ways to order responses get right, on the same prompts.

    A share is `Σ hits / Σ counted` over prompts within each category, then the plain mean over categories. Intervals
    are over prompts, which are what is drawn: by Wilson's formula where every prompt is one comparison of one category,
    else by a percentile bootstrap over prompts (2000 resamples of a fixed seed, the same ones for every way, so that
    differences are paired). Where a bootstrap has nothing to vary because all prompts are alike, Wilson's formula on
    the number of prompts stands in.
    """

    def __init__(
        self,
        hits: Mapping[str, Floats],
        counted: Mapping[str, Floats],
        clusters: Sequence[Hashable],
        categories: Sequence[str],
        confidence: float,
    ):
        """Take the counts of every row, a row being a prompt or one of its comparisons.

        Args:
            hits, counted: by name of the way. Shape `[R]` each.
            clusters: what rows of one prompt share. Length `R`.
            categories: of each row. Length `R`.
            confidence: of the intervals, such as 0.95.
        """
        self.names = list(hits)
        self.confidence = confidence
        cluster, category = _numbered(clusters), _numbered(categories)
        shape = (max(cluster, default=-1) + 1, max(category, default=-1) + 1, len(self.names))
        self._hits, self._counted = np.zeros(shape), np.zeros(shape)
        for place, name in enumerate(self.names):
            np.add.at(self._hits, (cluster, category, place), hits[name])
            np.add.at(self._counted, (cluster, category, place), counted[name])

    def share(self, name: str) -> Estimate:
        """The share of one way."""
        place = self.names.index(name)
        hits, counted = self._hits[:, :, place], self._counted[:, :, place]
        value = self._value(hits.sum(axis=0), counted.sum(axis=0))
        prompts = int((counted.sum(axis=1) > 0).sum())
        plain = hits.shape[1] == 1 and bool((counted <= 1).all()) and bool(np.isin(hits, (0, 1)).all())
        if plain or value in (0.0, 1.0):
            low, high = wilson(value, prompts, self.confidence)
        else:
            low, high = self._ends(self._resampled[:, place])
        return Estimate(value, low, high, int(counted.sum()), prompts)

    def difference(self, name: str, other: str) -> Estimate:
        """The share of one way less that of another, paired by prompt."""
        one, two = self.names.index(name), self.names.index(other)
        values = [self._value(self._hits[:, :, i].sum(axis=0), self._counted[:, :, i].sum(axis=0)) for i in (one, two)]
        counted = self._counted[:, :, one]
        low, high = self._ends(self._resampled[:, one] - self._resampled[:, two])
        return Estimate(values[0] - values[1], low, high, int(counted.sum()), int((counted.sum(axis=1) > 0).sum()))

    @cached_property
    def _resampled(self) -> Floats:
        """The share of every way in every resample of prompts. Shape `[B, ways]`."""
        count = len(self._hits)
        if not count:
            return np.full((1, len(self.names)), math.nan)
        drawn = np.random.default_rng(SEED).integers(0, count, (RESAMPLES, count))
        drawn += np.arange(RESAMPLES)[:, None] * count
        weights = np.bincount(drawn.ravel(), minlength=RESAMPLES * count).reshape(RESAMPLES, count).astype(np.float64)
        flat = (count, -1)
        shape = (RESAMPLES, *self._hits.shape[1:])
        hits = (weights @ self._hits.reshape(flat)).reshape(shape)
        counted = (weights @ self._counted.reshape(flat)).reshape(shape)
        return np.stack([_mean_of_ratios(hits[..., i], counted[..., i]) for i in range(len(self.names))], axis=1)

    def _value(self, hits: Floats, counted: Floats) -> float:
        return float(_mean_of_ratios(hits[None], counted[None])[0])

    def _ends(self, resampled: Floats) -> tuple[float, float]:
        known = resampled[~np.isnan(resampled)]
        if not known.size:
            return math.nan, math.nan
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(known, [tail, 1 - tail])
        return float(low), float(high)


def wilson(share: float, count: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a share of `count` independent comparisons (Wilson 1927).

    `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)`, which stays within [0, 1] and is no point at 0 and 1.
    """
    if not count or math.isnan(share):
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return (centre - spread) / scale, (centre + spread) / scale


def _mean_of_ratios(hits: Floats, counted: Floats) -> Floats:
    """Mean over the last axis of `hits / counted`, categories without a comparison left out; NaN where none has one."""
    there = counted > 0
    ratios = np.where(there, hits / np.where(there, counted, 1), 0)
    number = there.sum(axis=-1)
    return np.where(number > 0, ratios.sum(axis=-1) / np.maximum(number, 1), np.nan)


def _numbered(values: Sequence[Hashable]) -> list[int]:
    known: dict[Hashable, int] = {}
    return [known.setdefault(value, len(known)) for value in values]
