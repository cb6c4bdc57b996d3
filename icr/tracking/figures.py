"""Figures of rounds and models by the names under which they are logged."""

from __future__ import annotations

import math
from collections.abc import Mapping

from icr.metrics import Figure, PairMetric, accuracy
from icr.rundir.results import Figures, ModelResult, RoundCounts

ALL = "mean"
"""Key of the mean over the target languages among a model's figures."""


def pair_figures(counts: RoundCounts) -> dict[str, float]:
    """What a round's pairs are, by language and in all.

    Of given pairs, which nothing has rewarded, counts and lengths alone, and of demonstrations those of the chosen.
    """
    by: dict[PairMetric, Mapping[str, float]] = {
        PairMetric.COUNT: counts.pairs,
        PairMetric.CHOSEN_TOKENS: counts.chosen_tokens,
        PairMetric.REJECTED_TOKENS: {l: tokens for l, tokens in counts.rejected_tokens.items() if tokens},
    }
    if counts.responses:
        by |= {
            PairMetric.ALPHA_LEN: counts.alpha,
            PairMetric.CHOSEN_REWARD: counts.chosen_reward,
            PairMetric.REJECTED_REWARD: counts.rejected_reward,
        }
    found = {metric.of(code): float(value) for metric, values in by.items() for code, value in values.items()}
    found |= {metric: _in_all(metric, values, counts.pairs) for metric, values in by.items() if values}
    return {str(name): value for name, value in found.items() if math.isfinite(value)}


def model_figures(model: ModelResult) -> dict[str, float]:
    """What an evaluation has found about a model."""
    return {
        figure.logged if key == ALL else figure.of(key): value
        for figure in Figure
        for key, value in model.figures.get(figure, {}).items()
    }


def accuracy_figures(found: Mapping[str, Figures]) -> dict[str, float]:
    """How accurate rewards under several reward prompts are."""
    return {
        accuracy(prompt, None if key == ALL else key): value
        for prompt, values in found.items()
        for key, value in values.items()
    }


def _in_all(metric: PairMetric, values: Mapping[str, float], pairs: Mapping[str, int]) -> float:
    """The sum of counts, the mean of α_len over languages, and the mean over pairs of the rest."""
    if metric is PairMetric.COUNT:
        return float(sum(values.values()))
    weights = {code: 1 if metric is PairMetric.ALPHA_LEN else pairs.get(code, 0) for code in values}
    total = sum(weights.values())
    return sum(weights[code] * value for code, value in values.items()) / total if total else math.nan
