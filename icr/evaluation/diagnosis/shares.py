"""Shares of comparisons with their intervals, where comparisons of one prompt belong together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from icr.evaluation.intervals import draws, percentiles, resampled_means, share_interval

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


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
    else by a percentile bootstrap over prompts (`icr.evaluation.intervals`; the same resamples for every way, so that
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
        value, prompts = self._value(place), int((counted.sum(axis=1) > 0).sum())
        plain = hits.shape[1] == 1 and bool((counted <= 1).all()) and bool(np.isin(hits, (0, 1)).all())
        if plain or value in (0.0, 1.0):
            bounds = share_interval(value * prompts if prompts else 0, prompts, self.confidence)
        else:
            bounds = percentiles(self._resampled[:, place], self.confidence)
        return Estimate(value, bounds.low, bounds.high, int(counted.sum()), prompts)

    def difference(self, name: str, other: str) -> Estimate:
        """The share of one way less that of another, paired by prompt."""
        one, two = self.names.index(name), self.names.index(other)
        bounds = percentiles(self._resampled[:, one] - self._resampled[:, two], self.confidence)
        counted = self._counted[:, :, one].sum(axis=1)
        value = self._value(one) - self._value(two)
        return Estimate(value, bounds.low, bounds.high, int(counted.sum()), int((counted > 0).sum()))

    @cached_property
    def _resampled(self) -> Floats:
        """The share of every way in every resample of prompts. Shape `[B, ways]`."""
        clusters, categories, ways = self._hits.shape
        if not clusters:
            return np.full((1, ways), math.nan)
        flat = (clusters, categories * ways)
        means = resampled_means(self._hits.reshape(flat), self._counted.reshape(flat), draws(clusters))
        return plain_mean(means.reshape(-1, categories, ways))

    def _value(self, place: int) -> float:
        hits, counted = self._hits[:, :, place].sum(axis=0), self._counted[:, :, place].sum(axis=0)
        shares = np.divide(hits, counted, out=np.full(counted.shape, math.nan), where=counted > 0)
        return float(plain_mean(shares[None, :, None])[0, 0])


def plain_mean(shares: Floats) -> Floats:
    """Mean over categories of those that are not NaN; NaN where all are. `[B, categories, …]` → `[B, …]`."""
    known = ~np.isnan(shares)
    number = known.sum(axis=1)
    total = np.where(known, shares, 0).sum(axis=1)
    mean: Floats = np.divide(total, number, out=np.full(total.shape, math.nan), where=number > 0)
    return mean


def _numbered(values: Sequence[Hashable]) -> list[int]:
    known: dict[Hashable, int] = {}
    return [known.setdefault(value, len(known)) for value in values]
