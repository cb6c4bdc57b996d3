"""Win rate against a fixed opponent, its standard error, and the mean over target languages. Percent throughout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

SOURCE_LANGUAGE = "en"
TIE = 1e-9  # marks that are sums of fifths differ in their last bits; such scores are equal


def preferences(scores: ArrayLike, opponent_scores: ArrayLike) -> NDArray[np.float64]:
    """Outcome of each comparison: 1 a win, 0.5 a tie (scores within `TIE`), 0 a loss.

    Args:
        scores, opponent_scores: judge scores of the model's and of the opponent's answers. Shape `[N]`.

    Returns:
        Shape `[N]`, float64.

    Raises:
        ValueError: the shapes differ or are not `[N]` with `N ≥ 1`, or a score is not finite.
    """
    ours, theirs = np.asarray(scores, dtype=np.float64), np.asarray(opponent_scores, dtype=np.float64)
    if ours.ndim != 1 or ours.shape != theirs.shape or ours.size == 0:
        raise ValueError(f"need two non-empty vectors of one length, got shapes {ours.shape} and {theirs.shape}")
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise ValueError("a score is not finite")
    difference = ours - theirs
    return np.where(np.abs(difference) <= TIE, 0.5, (difference > 0).astype(np.float64))


def win_rate(scores: ArrayLike, opponent_scores: ArrayLike) -> float:
    """`100 · mean(preferences)`: percent of comparisons won, a tie counting a half.

    Raises:
        ValueError: as `preferences`.
    """
    return float(100.0 * preferences(scores, opponent_scores).mean())


def win_rate_standard_error(scores: ArrayLike, opponent_scores: ArrayLike) -> float:
    """Standard error of `win_rate` in percentage points: `100 · s/√N`, `s` the sample deviation of the outcomes.

    It covers the sampling of prompts, not that of another training seed. NaN for a single comparison.

    Raises:
        ValueError: as `preferences`.
    """
    outcomes = preferences(scores, opponent_scores)
    return float(100.0 * outcomes.std(ddof=1) / math.sqrt(outcomes.size)) if outcomes.size > 1 else math.nan


def target_languages(languages: Sequence[str]) -> list[str]:
    """The languages that the mean is taken over: all but English, or English if there is no other."""
    return [language for language in languages if language != SOURCE_LANGUAGE] or list(languages)


def with_mean(values: Mapping[str, float]) -> dict[str, float]:
    """`{"mean": …, "<lang>": …}`: a statistic a language, preceded by its unweighted mean over the target languages.

    A target language without a value (NaN) is not left out in silence: it makes the mean NaN. No languages give `{}`.
    """
    if not values:
        return {}
    targets = target_languages(list(values))
    return {"mean": math.fsum(values[language] for language in targets) / len(targets), **values}


def with_mean_error(errors: Mapping[str, float]) -> dict[str, float]:
    """As `with_mean` for standard errors: `mean = √(Σ se²)/L` over the `L` target languages.

    Languages are taken as independent. They share prompts, so where a prompt is hard in every language the true error
    of the mean is somewhat larger.
    """
    if not errors:
        return {}
    targets = target_languages(list(errors))
    return {"mean": math.sqrt(math.fsum(errors[language] ** 2 for language in targets)) / len(targets), **errors}


def by_language(
    statistic: Callable[..., float], languages: Sequence[str], *columns: ArrayLike, order: Sequence[str] = ()
) -> dict[str, float]:
    """`statistic(*columns)` of the rows of each language.

    Args:
        statistic: such as `win_rate`; called with the columns cut down to one language.
        languages: language of each row. Length `N`.
        columns: row-wise arguments of `statistic`. Shape `[N]` each.
        order: languages that come first, in this order; the others follow as they appear. Those without rows
            are left out.

    Raises:
        ValueError: a column's length is not `N`.
    """
    labels = np.asarray(languages, dtype=object)
    arrays = [np.asarray(column) for column in columns]
    if any(len(array) != len(labels) for array in arrays):
        raise ValueError(f"columns of lengths {[len(a) for a in arrays]} for {len(labels)} rows")
    present = dict.fromkeys(labels.tolist())
    names = [name for name in dict.fromkeys([*order, *present]) if name in present]
    return {name: float(statistic(*(array[labels == name] for array in arrays))) for name in names}
