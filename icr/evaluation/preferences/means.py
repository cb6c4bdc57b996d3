"""Means of what is measured on labelled rows: by language, over the target languages, with intervals over prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from icr.data.labelled import Labelled
from icr.evaluation.diagnosis.shares import Estimate, Shares
from icr.evaluation.intervals import CONFIDENCE, draws, percentiles, resampled_means
from icr.evaluation.win_rate import target_languages

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MEAN = "mean"


class RowMeans:
    """Means of values of labelled rows, all of which have one.

    In a language it is the mean within each category, then the plain mean over categories, as in RewardBench; `mean` is
    the plain mean over the target languages. What is drawn for an interval is prompts, each with its rows in all
    languages: translations of one prompt are no further prompts.
    """

    def __init__(self, rows: Sequence[Labelled]):
        """Take the rows that values are of."""
        self.rows = rows
        self.languages = list(dict.fromkeys(row.prompt.language for row in rows))
        self._clusters = list(dict.fromkeys(row.cluster for row in rows))
        strata = list(dict.fromkeys((row.prompt.language, row.category) for row in rows))
        number = {cluster: n for n, cluster in enumerate(self._clusters)}
        self._places = (
            np.array([number[row.cluster] for row in rows]),
            np.array([strata.index((row.prompt.language, row.category)) for row in rows]),
        )
        self._shape = (len(self._clusters), len(strata))
        self._of = {code: [n for n, (own, _) in enumerate(strata) if own == code] for code in self.languages}
        self._counts = np.zeros(self._shape)
        np.add.at(self._counts, self._places, 1.0)
        self._drawn = draws(len(self._clusters)) if rows else np.zeros((0, 0))

    def prompts(self, language: str) -> int:
        """Different prompts of a language; for `mean`, their sum over the target languages."""
        if language == MEAN:
            return sum(map(self.prompts, target_languages(self.languages)))
        return int((self._counts[:, self._of[language]].sum(axis=1) > 0).sum())

    def rows_in(self, language: str) -> int:
        """Rows of a language; for `mean`, their sum over the target languages."""
        codes = target_languages(self.languages) if language == MEAN else [language]
        return int(sum(self._counts[:, self._of[code]].sum() for code in codes))

    def estimates(self, values: Floats) -> dict[str, Estimate]:
        """The mean of each language and over target languages, `mean` first, with percentile bootstrap intervals.

        Args:
            values: of the rows. Shape `[R]`.
        """
        return {name: estimate for name, (estimate, _) in self._resampled(values).items()}

    def shares(self, hits: Floats) -> dict[str, Estimate]:
        """The same for values that are 0 or 1; a language's interval is that of the diagnosis (`Shares`).

        That is Wilson's where every row is a prompt of its own and there is one category, else the bootstrap's.
        """
        found = self.estimates(hits)
        for language in self.languages:
            own = [n for n, row in enumerate(self.rows) if row.prompt.language == language]
            clusters, categories = ([getattr(self.rows[n], name) for n in own] for name in ("cluster", "category"))
            shares = Shares({"": hits[own]}, {"": np.ones(len(own))}, clusters, categories, CONFIDENCE)
            found[language] = shares.share("")
        if len(targets := target_languages(self.languages)) == 1:
            found[MEAN] = found[targets[0]]
        return found

    def differences(self, values: Floats) -> dict[str, tuple[Estimate, float]]:
        """As `estimates` of paired differences, each with the share of bootstrap samples in which it is 0 or less.

        Args:
            values: of one model less that of another, row by row. Shape `[R]`.
        """
        return {
            name: (estimate, float((sampled[~np.isnan(sampled)] <= 0).mean()))
            for name, (estimate, sampled) in self._resampled(values).items()
        }

    def _resampled(self, values: Floats) -> dict[str, tuple[Estimate, Floats]]:
        """Each mean as an estimate, and in every bootstrap sample."""
        sums = np.zeros(self._shape)
        np.add.at(sums, self._places, values)
        # The first sample has every prompt once: the figure itself.
        drawn = np.vstack([np.ones((1, self._shape[0])), self._drawn])
        of_strata = resampled_means(sums, self._counts, drawn)
        means = {code: _plain_mean(of_strata[:, places]) for code, places in self._of.items()}
        over = np.mean([means[code] for code in target_languages(self.languages)], axis=0)
        return {name: (self._estimate(name, all[0], all[1:]), all[1:]) for name, all in {MEAN: over, **means}.items()}

    def _estimate(self, language: str, value: float, sampled: Floats) -> Estimate:
        bounds = percentiles(sampled)
        return Estimate(float(value), bounds.low, bounds.high, self.rows_in(language), self.prompts(language))


def _plain_mean(shares: Floats) -> Floats:
    """Mean over categories of those that a sample has rows of. `[B, categories]` → `[B]`; NaN where it has none."""
    known = ~np.isnan(shares)
    number = known.sum(axis=1)
    total = np.where(known, shares, 0.0).sum(axis=1)
    mean: Floats = np.divide(total, number, out=np.full(total.shape, math.nan), where=number > 0)
    return mean
