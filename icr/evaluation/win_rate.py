"""Win rate against reference answers, its standard error, and the mean over target languages. Percent throughout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

SOURCE_LANGUAGE = "en"


def means_by_prompt(preferences: ArrayLike, prompts: Sequence[Hashable]) -> dict[Hashable, float]:
    """`m_i = Σ_k q_ik / K_i`: mean preference over the `K_i` answers to each prompt that have a verdict.

    Args:
        preferences: `q` of each comparison in [0, 1]; NaN where there is no verdict. Shape `[N]`.
        prompts: what the comparisons of one prompt share, such as its id. Length `N`.

    Returns:
        By prompt, in order of appearance; those without any verdict are left out.

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
    return {prompt: math.fsum(values) / len(values) for prompt, values in of_prompt.items()}


def prompt_means(preferences: ArrayLike, prompts: Sequence[Hashable]) -> NDArray[np.float64]:
    """The values of `means_by_prompt`, in the order of the prompts. Shape `[P]`.

    Raises:
        ValueError: as `means_by_prompt`.
    """
    return np.array(list(means_by_prompt(preferences, prompts).values()), dtype=np.float64)


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
    """As `with_mean` for standard errors of languages that share no prompts: `mean = √(Σ se²)/L` over `L` targets.

    Where they do share them, and it is known how each came out, `standard_errors` knows better.
    """
    if not errors:
        return {}
    targets = target_languages(list(errors))
    return {"mean": math.sqrt(math.fsum(errors[language] ** 2 for language in targets)) / len(targets), **errors}


def standard_errors(languages: Sequence[str], preferences: ArrayLike, prompts: Sequence[Hashable]) -> dict[str, float]:
    """`{"mean": …, "<lang>": …}`: `win_rate_standard_error` per language, and that of the mean over target languages.

    Languages share prompts, by their ids, and a prompt that is hard in one may be hard in all. So the ids are what is
    drawn, each with its prompts in all languages: with `m_il` the prompt mean of id `i` in language `l`, `n_l` prompts
    of mean `μ_l` there, and `L` target languages,

        se² = Σ_i (Σ_l (m_il − μ_l) / √(n_l·(n_l − 1)))² / L²

    which is the win rate's own standard error where `L` is 1, and `√(Σ se_l²)/L` where no two languages share an id.

    Raises:
        ValueError: as `prompt_means`.
    """
    labels, outcomes = np.asarray(languages, dtype=object), np.asarray(preferences, dtype=np.float64)
    ids = np.fromiter(prompts, dtype=object, count=len(prompts))
    alone = by_language(win_rate_standard_error, languages, outcomes, ids)
    if not alone:
        return {}
    targets = target_languages(list(alone))
    residuals: dict[Hashable, float] = {}
    for language in targets:
        means = means_by_prompt(outcomes[labels == language], ids[labels == language])
        centre, n = math.fsum(means.values()) / max(1, len(means)), len(means)
        for id, mean in means.items():
            share = (mean - centre) / math.sqrt(n * (n - 1)) if n > 1 else math.nan
            residuals[id] = residuals.get(id, 0.0) + share
    total = math.fsum(value**2 for value in residuals.values())
    missing = any(math.isnan(alone[language]) for language in targets)
    return {"mean": math.nan if missing else 100.0 * math.sqrt(total) / len(targets), **alone}


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
