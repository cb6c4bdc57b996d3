"""Figures of a model's own samples, by language: what can be seen of a reward without a label."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from icr.errors import ConfigError
from icr.evaluation.diagnosis.accuracy import log_ratio
from icr.evaluation.diagnosis.samples import Samples, both, rank_correlation, signs
from icr.evaluation.repetition import repeats
from icr.metrics import RoundMetric
from icr.rounds import LanguageGate

if TYPE_CHECKING:
    from icr.types import Response

LOOKED_AT = 200
"""Responses per language, spread over the prompts, that are looked at one by one: for loops and for their language."""


def sample_figures(samples: Samples, alpha: float, pairs: int) -> dict[RoundMetric, float]:
    """What arrays tell of one language's responses; NaN where there is nothing to tell from.

    Args:
        samples: of the language.
        alpha: `α_len` of length control, nats per unit of length.
        pairs: how many were made of them.
    """
    there, usable, rewards = samples.there, samples.usable, samples.rewards
    number = int(there.sum())
    compared = both(usable) & (signs(samples.texts.astype(np.float64), there) != 0)
    equal = signs(rewards, usable) == 0
    of_prompt = np.where(usable, rewards, np.nan)
    several = usable.sum(axis=1) > 1
    return {
        RoundMetric.PAIRS: pairs / len(samples.ids),
        RoundMetric.EQUAL_REWARDS: _mean(equal[compared]),
        RoundMetric.MARGIN: _mean(np.nanmax(of_prompt[several], axis=1) - np.nanmin(of_prompt[several], axis=1)),
        RoundMetric.SPREAD: _mean(np.nanstd(of_prompt[several], axis=1)),
        RoundMetric.LENGTH_BEFORE: rank_correlation(rewards, samples.lengths, usable),
        RoundMetric.LENGTH_AFTER: rank_correlation(rewards - alpha * samples.lengths, samples.lengths, usable),
        RoundMetric.WITH_POLICY: rank_correlation(rewards, samples.policy_logps, usable),
        RoundMetric.WITH_REFERENCE: rank_correlation(rewards, samples.reference_logps, usable),
        RoundMetric.LOG_RATIO: log_ratio(samples),
        RoundMetric.TRUNCATED: float(samples.cut[there].sum()) / number,
        RoundMetric.DUPLICATES: 1 - sum(len(np.unique(row[row >= 0])) for row in samples.texts) / number,
    }


def text_figures(texts: Sequence[str], identify: Callable[[str], bool] | None) -> dict[RoundMetric, float]:
    """What is seen in the texts of one language's responses, of at most `LOOKED_AT` of them.

    Args:
        texts: of all its responses, those to one prompt beside each other.
        identify: whether a text is in the language; None where that cannot be told.
    """
    step = max(1, math.ceil(len(texts) / LOOKED_AT))
    seen = texts[::step]
    blank = [not text.strip() for text in texts]
    return {
        RoundMetric.EMPTY: _mean(np.array(blank)),
        RoundMetric.REPEATING: _mean(np.array([repeats(text) for text in seen])),
        RoundMetric.OFF_LANGUAGE: _mean(np.array([not identify(text) for text in seen])) if identify else math.nan,
    }


def identifiers(languages: Sequence[str]) -> Mapping[str, Callable[[str], bool]]:
    """For each language, whether a text is in it rather than confidently in another of these (`LanguageGate`).

    Empty where they cannot be told: there is one alone, one is not known, or the library is not installed.
    """
    if len(languages) < 2:
        return {}
    try:
        gate = LanguageGate(tuple(languages))
    except ConfigError:
        return {}
    return {code: partial(gate, code) for code in languages}


def own_figures(
    tables: Mapping[str, Samples],
    responses: Sequence[Response],
    alphas: Mapping[str, float],
    pairs: Mapping[str, int],
    *,
    identify: bool,
) -> dict[str, dict[str, float]]:
    """All figures of own samples: `[figure][language]`.

    Args:
        tables: samples by language, as `tabulated` makes them of these responses.
        responses: of all languages.
        alphas: `α_len` by language.
        pairs: number of pairs by language.
        identify: whether languages are looked at.
    """
    within = identifiers(list(tables)) if identify else {}
    found: dict[str, dict[str, float]] = {}
    for code, samples in tables.items():
        texts = [response.text for response in responses if response.language == code]
        figures = sample_figures(samples, alphas.get(code, 0.0), pairs.get(code, 0))
        for name, value in (figures | text_figures(texts, within.get(code))).items():
            found.setdefault(str(name), {})[code] = value
    return found


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan
