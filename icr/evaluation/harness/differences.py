"""Differences between models on the documents of lm-evaluation-harness's tasks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from icr.evaluation.harness.harness import TaskResult
from icr.evaluation.harness.tasks import HarnessTask
from icr.evaluation.intervals import draws, percentiles, resampled_means
from icr.evaluation.win_rate import target_languages
from icr.rundir.measured import Difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Found = Mapping[str, Mapping[HarnessTask, TaskResult]]
"""`[model][task]`."""


def differences(found: Found, baseline: str | None) -> list[Difference]:
    """Paired differences of every metric that is a mean over documents, with bootstrap intervals over documents.

    Both models were put the same questions, so that what is hard for both cancels.

    Args:
        baseline: each model less this one; None takes all pairs, the later less the earlier.
    """
    pairs = [(later, earlier) for earlier, later in itertools.combinations(found, 2)]
    if baseline is not None:
        pairs = [(name, baseline) for name in found if name != baseline]
    tasks = next(iter(found.values()), {})
    rows = []
    for model, other in pairs:
        for benchmark in dict.fromkeys(task.benchmark for task in tasks):
            own = [task for task in tasks if task.benchmark == benchmark]
            for metric in dict.fromkeys(name for task in own for name in found[model][task]["values"]):
                of = {
                    task.language or "": np.array(found[model][task]["values"][metric])
                    - np.array(found[other][task]["values"][metric])
                    for task in own
                    if metric in found[model][task]["values"] and metric in found[other][task]["values"]
                }
                rows += _by_language(f"{benchmark}/{metric}", model, other, of)
    return rows


def _by_language(figure: str, model: str, baseline: str, of: Mapping[str, Floats]) -> list[Difference]:
    """Of each language, and of the mean over target languages.

    Where two languages have as many documents, the same ones are drawn of both: translations of a question are one.
    """
    if not of:
        return []
    sampled = {language: _resampled(values) for language, values in of.items()}

    def difference(name: str, languages: Sequence[str]) -> Difference:
        means = np.mean([sampled[language] for language in languages], axis=0)
        value = float(np.mean([of[language].mean() for language in languages]))
        bounds = percentiles(means)
        documents = sum(of[language].size for language in languages)
        not_above = float((means <= 0).mean())
        return Difference(figure, model, baseline, name, value, bounds.low, bounds.high, documents, not_above=not_above)

    alone = [difference(language, [language]) for language in of if language]
    return [difference("mean", target_languages(list(of))), *alone]


def _resampled(values: Floats) -> Floats:
    """The mean in each bootstrap sample of documents. Shape `[B]`."""
    drawn = draws(values.size)
    return resampled_means(values[:, None], np.ones((values.size, 1)), drawn)[:, 0]
