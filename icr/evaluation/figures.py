"""From judged answers to figures, by language."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from icr.evaluation.agreement import flip_rate, order_kappa
from icr.evaluation.length_controlled import LEADERBOARD_ALONE, fit_length_model
from icr.evaluation.repetition import repeats
from icr.evaluation.stage import JudgedResponse
from icr.evaluation.win_rate import by_language, standard_errors, win_rate, with_mean
from icr.metrics import Figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Difficulties = Mapping[tuple[str, str], float]
"""Of prompts, by id and language."""


def figures(rows: Sequence[JudgedResponse], difficulties: Difficulties | None = None) -> dict[str, dict[str, float]]:
    """Figures of one model, each by language with their mean over the target languages.

    Win rates are over the comparisons that have a verdict; `unjudged` counts the others. A language without any has
    NaN, and so has the mean then. What nobody has measured in any language (scores, verdicts by order, tokens, the
    language of answers) is left out.

    Args:
        rows: of the model.
        difficulties: of their prompts, for length control; None leaves difficulty out of it.

    Returns:
        By the names of `icr.metrics.Figure`, whose units they have.
    """
    languages, ids = [row.language for row in rows], [row.id for row in rows]
    outcomes = _column(row.preference for row in rows)
    at_equal_length = _at_equal_length(rows, outcomes, difficulties)
    found: dict[str, dict[str, float]] = {
        Figure.WIN_RATE: with_mean(by_language(win_rate, languages, outcomes, ids)),
        Figure.WIN_RATE_SE: standard_errors(languages, outcomes, ids),
        Figure.LC_WIN_RATE: with_mean(by_language(win_rate, languages, at_equal_length, ids)),
    }
    if difficulties is not None:
        found[Figure.LC_WIN_RATE_SE] = standard_errors(languages, at_equal_length, ids)
    found[Figure.UNJUDGED] = with_mean(by_language(_missing, languages, outcomes))
    orders = _column(row.shown_first for row in rows), _column(row.shown_second for row in rows)
    if not np.isnan(orders).all():
        found[Figure.FLIP_RATE] = with_mean(by_language(flip_rate, languages, *orders))
        found[Figure.ORDER_KAPPA] = with_mean(by_language(order_kappa, languages, *orders))
    for name, values in _measured(rows).items():
        if not np.isnan(values).all():
            found[name] = with_mean(by_language(_mean, languages, values))
    return {str(name): found[name] for name in Figure if name in found}


def reasons(rows: Sequence[JudgedResponse]) -> dict[str, Counter[str]]:
    """Why comparisons have no verdict: how many for each reason, by language; languages that lack none are left out."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        if row.preference is None:
            found.setdefault(row.language, Counter())[row.reason] += 1
    return found


def _measured(rows: Sequence[JudgedResponse]) -> dict[Figure, Floats]:
    """What the answers are like, one value each; rates as 0 and 100."""
    return {
        Figure.JUDGE_SCORE: _column(row.score for row in rows),
        Figure.CHARACTERS: _column(row.characters for row in rows),
        Figure.REFERENCE_CHARACTERS: _column(len(row.opponent) for row in rows),
        Figure.TOKENS: _column(row.tokens for row in rows),
        Figure.EMPTY_RATE: 100 * _column(not row.text.strip() for row in rows),
        Figure.TRUNCATION_RATE: 100
        * _column(row.finish_reason == "length" if row.finish_reason else None for row in rows),
        Figure.REPETITION_RATE: 100 * _column(repeats(row.text) for row in rows),
        Figure.OFF_LANGUAGE_RATE: 100 * _column(row.off_language for row in rows),
    }


def _at_equal_length(rows: Sequence[JudgedResponse], outcomes: Floats, difficulties: Difficulties | None) -> Floats:
    """Predicted preference of each comparison if both answers were equally long, fitted language by language.

    The answers to a prompt weigh one together. NaN where there is no verdict.
    """
    predicted = np.full(len(rows), math.nan)
    by: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if row.preference is not None:
            by.setdefault(row.language, []).append(index)
    for language, judged in by.items():
        answers = Counter(rows[index].id for index in judged)
        hard = None if difficulties is None else np.array([difficulties[rows[n].id, language] for n in judged])
        model = fit_length_model(
            outcomes[judged],
            [rows[index].characters for index in judged],
            [len(rows[index].opponent) for index in judged],
            difficulty=hard,
            weights=[1 / answers[rows[index].id] for index in judged],
            prior=LEADERBOARD_ALONE if hard is None else None,
        )
        predicted[judged] = model.at_equal_lengths(np.zeros(len(judged)) if hard is None else hard)
    return predicted


def _column(values: Iterable[float | None]) -> Floats:
    """NaN for what is missing."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _missing(outcomes: Floats) -> float:
    return float(np.isnan(outcomes).sum())


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
