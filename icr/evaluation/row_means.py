"""Means of what is measured row by row: by language, over the target languages, with intervals over prompts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from icr.evaluation.diagnosis.shares import Estimate, Shares, plain_mean
from icr.evaluation.intervals import CONFIDENCE, draws, percentiles, resampled_means, share_interval
from icr.evaluation.win_rate import target_languages
from icr.rundir.measured import Difference, Figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MEAN = "mean"


class RowMeans:
    """Means of values of rows, all of which have one.

    In a language it is the mean within each category, then the plain mean over categories, as in RewardBench; `mean` is
    the plain mean over the target languages. What is drawn for an interval is prompts, each with its rows in all
    languages: translations of one prompt are no further prompts.
    """

    def __init__(self, languages: Sequence[str], prompts: Sequence[str], categories: Sequence[str] = ()):
        """Take what the rows are of.

        Args:
            languages: of each row. Length `R`.
            prompts: what rows of one prompt share, such as its id. Length `R`.
            categories: of each row; empty where there are none.
        """
        self.of_rows = list(zip(languages, prompts, categories or [""] * len(prompts), strict=True))
        self.languages = list(dict.fromkeys(languages))
        clusters = list(dict.fromkeys(prompts))
        strata = list(dict.fromkeys((code, category) for code, _, category in self.of_rows))
        number = {cluster: n for n, cluster in enumerate(clusters)}
        self._places = (
            np.array([number[prompt] for prompt in prompts], dtype=np.int64),
            np.array([strata.index((code, category)) for code, _, category in self.of_rows], dtype=np.int64),
        )
        self._shape = (len(clusters), len(strata))
        self._of = {code: [n for n, (own, _) in enumerate(strata) if own == code] for code in self.languages}
        self._counts = np.zeros(self._shape)
        np.add.at(self._counts, self._places, 1.0)
        self._drawn = draws(len(clusters)) if clusters else np.zeros((0, 0))

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
        """The same for shares between 0 and 1; a language's interval is that of the diagnosis (`Shares`).

        That is Wilson's where each row is 0 or 1 and a prompt of its own, and there is one category; else the
        bootstrap's. Where a mean over languages is 0 or 1, which leaves a bootstrap nothing to vary, it is Wilson's on
        the number of prompts that are no translations of each other.
        """
        found = self.estimates(hits)
        for language in self.languages:
            own = [n for n, (code, _, _) in enumerate(self.of_rows) if code == language]
            prompts, categories = ([self.of_rows[n][column] for n in own] for column in (1, 2))
            shares = Shares({"": hits[own]}, {"": np.ones(len(own))}, prompts, categories, CONFIDENCE)
            found[language] = shares.share("")
        targets, mean = target_languages(self.languages), found[MEAN]
        if len(targets) == 1:
            found[MEAN] = found[targets[0]]
        elif mean.value in (0.0, 1.0):
            apart = len({prompt for code, prompt, _ in self.of_rows if code in targets})
            bounds = share_interval(mean.value * apart, apart)
            found[MEAN] = replace(mean, low=bounds.low, high=bounds.high)
        return found

    def figures(self, name: str, values: Floats, *, percent: bool) -> Figures:
        """A figure, and `<name>_low` and `<name>_high`, the ends of its 95 % interval.

        Args:
            name: of the figure.
            values: of the rows. Shape `[R]`.
            percent: whether these are shares, from 0 to 100.
        """
        scale, found = (100.0, self.shares(values / 100.0)) if percent else (1.0, self.estimates(values))
        return {
            name: {code: scale * one.value for code, one in found.items()},
            f"{name}_low": {code: scale * one.low for code, one in found.items()},
            f"{name}_high": {code: scale * one.high for code, one in found.items()},
        }

    def compared(self, figure: str, values: Mapping[str, Floats], baseline: str | None) -> list[Difference]:
        """Paired differences of a figure, row by row, with the same draws of prompts as its intervals.

        Args:
            figure: its name.
            values: of the rows, by model. Shape `[R]` each.
            baseline: each model less this one, and none where it has no values; None takes all pairs, the later less
                the earlier.
        """
        pairs = [(later, earlier) for earlier, later in itertools.combinations(values, 2)]
        if baseline is not None:
            pairs = [(name, baseline) for name in values if name != baseline and baseline in values]
        rows = []
        for model, other in pairs:
            for code, (one, sampled) in self._resampled(values[model] - values[other]).items():
                not_above = float((sampled[~np.isnan(sampled)] <= 0).mean())
                bounds = (one.value, one.low, one.high, one.prompts)
                rows.append(Difference(figure, model, other, code, *bounds, not_above=not_above))
        return rows

    def _resampled(self, values: Floats) -> dict[str, tuple[Estimate, Floats]]:
        """Each mean as an estimate, and in every bootstrap sample."""
        sums = np.zeros(self._shape)
        np.add.at(sums, self._places, values)
        # The first sample has every prompt once: the figure itself.
        drawn = np.vstack([np.ones((1, self._shape[0])), self._drawn])
        of_strata = resampled_means(sums, self._counts, drawn)
        means = {code: plain_mean(of_strata[:, places]) for code, places in self._of.items()}
        over = np.mean([means[code] for code in target_languages(self.languages)], axis=0)
        return {name: (self._estimate(name, all[0], all[1:]), all[1:]) for name, all in {MEAN: over, **means}.items()}

    def _estimate(self, language: str, value: float, sampled: Floats) -> Estimate:
        bounds = percentiles(sampled)
        return Estimate(float(value), bounds.low, bounds.high, self.rows_in(language), self.prompts(language))
