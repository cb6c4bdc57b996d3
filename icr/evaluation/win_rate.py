"""Win rate against reference answers, its standard error, and the mean over target languages. Percent throughout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

SOURCE_LANGUAGE = "en"


def prompt_means(preferences: ArrayLike, prompts: Sequence[Hashable]) -> NDArray[np.float64]:
    """`m_i = Σ_k q_ik / K_i`: mean preference over the `K_i` answers to each prompt that have a verdict.

    Args:
        preferences: `q` of each comparison in [0, 1]; NaN where there is no verdict. Shape `[N]`.
        prompts: what the comparisons of one prompt share, such as its id. Length `N`.

    Returns:
        Shape `[P]`, float64, prompts in order of appearance; those without any verdict are left out.

    Raises:
        ValueError: lengths differ, there is no comparison, or a preference is outside [0, 1].
    """
    outcomes = np.asarray(preferences, dtype=np.float64)
    if outcomes.ndim != 1 or outcomes.size == 0 or len(prompts) != outcomes.size:
        raise ValueError(f"need non-empty columns of one length, got shape {outcomes.shape} and {len(prompts)} prompts")
    known = outcomes[~np.isnan(outcomes)]
    if known.size and not (known.min() >= 0 and known.max() <= 1):
        raise ValueError("a preference is outside [0, 1]")
    of_prompt: dict[Hashable, list[float]] = {}
    for prompt, outcome in zip(prompts, outcomes.tolist(), strict=True):
        if not math.isnan(outcome):
            of_prompt.setdefault(prompt, []).append(outcome)
    return np.array([math.fsum(values) / len(values) for values in of_prompt.values()], dtype=np.float64)


def win_rate(preferences: ArrayLike, prompts: Sequence[Hashable]) -> float:
    """`100 · mean(m)` over `prompt_means`: percent of comparisons won, a tie counting a half, prompts counting alike.

    NaN without a verdict.

    Raises:
        ValueError: as `prompt_means`.
    """
    means = prompt_means(preferences, prompts)
    return float(100.0 * means.mean()) if means.size else math.nan


def win_rate_standard_error(preferences: ArrayLike, prompts: Sequence[Hashable]) -> float:
    """Standard error of `win_rate` in percentage points: `100 · s/√P`, `s` the sample deviation of `prompt_means`.

    Prompts are what is drawn: the answers to one prompt are a cluster, and more of them do not make more prompts. It
    does not cover another training seed. NaN with verdicts on a single prompt.

    Raises:
        ValueError: as `prompt_means`.
    """
    means = prompt_means(preferences, prompts)
    return float(100.0 * means.std(ddof=1) / math.sqrt(means.size)) if means.size > 1 else math.nan


def target_languages(languages: Sequence[str]) -> list[str]:
    """The languages that the mean is taken over: all but English, or English if there is no other."""
    return [language for language in languages if language != SOURCE_LANGUAGE] or list(languages)


def with_mean(values: Mapping[str, float]) -> dict[str, float]:
    """`{"mean": …, "<lang>": …}`: a statistic per language, preceded by its unweighted mean over the target languages.

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
