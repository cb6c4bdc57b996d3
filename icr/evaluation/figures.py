"""From judged answers to figures, by language."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from icr.evaluation.length_controlled import length_controlled_win_rate
from icr.evaluation.stage import JudgedResponse
from icr.evaluation.win_rate import by_language, win_rate, win_rate_standard_error, with_mean, with_mean_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def figures(rows: Sequence[JudgedResponse]) -> dict[str, dict[str, float]]:
    """Figures of one model, each by language with their mean over the target languages.

    Win rates are over the comparisons that have a verdict; `unjudged` counts the others. A language without any has
    NaN, and so has the mean then.

    Returns:
        `win_rate` and `lc_win_rate` in percent, `win_rate_se` in percentage points, `unjudged` in comparisons, and
        `judge_score` in the judge's unit where the judge scores answers.
    """
    languages, ids = [row.language for row in rows], [row.id for row in rows]
    outcomes = _column([row.preference for row in rows])
    lengths = [row.characters for row in rows], [len(row.opponent) for row in rows]
    found = {
        "win_rate": with_mean(by_language(win_rate, languages, outcomes, ids)),
        "win_rate_se": with_mean_error(by_language(win_rate_standard_error, languages, outcomes, ids)),
        "lc_win_rate": with_mean(by_language(_length_controlled, languages, outcomes, *lengths)),
        "unjudged": with_mean(by_language(_missing, languages, outcomes)),
    }
    scores = _column([row.score for row in rows])
    if not np.isnan(scores).all():
        found["judge_score"] = with_mean(by_language(_mean, languages, scores))
    return found


def _column(values: Sequence[float | None]) -> Floats:
    """NaN for what is missing."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _length_controlled(outcomes: Floats, lengths: Floats, opponent_lengths: Floats) -> float:
    known = ~np.isnan(outcomes)
    if not known.any():
        return math.nan
    return length_controlled_win_rate(outcomes[known], lengths[known], opponent_lengths[known])


def _missing(outcomes: Floats) -> float:
    return float(np.isnan(outcomes).sum())


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
