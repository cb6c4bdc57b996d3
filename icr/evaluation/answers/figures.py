"""From described answers to figures, by language."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from icr.evaluation.answers.described import DescribedAnswer
from icr.evaluation.row_means import RowMeans
from icr.metrics import AnswerFigure, Figure
from icr.rundir.measured import Difference, Figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Columns = dict[Figure | AnswerFigure, "Floats"]
"""Mean over the answers to each prompt. Shape `[P]` each."""

SEEN: Mapping[Figure, Callable[[DescribedAnswer], float | None]] = {
    Figure.OFF_LANGUAGE_RATE: lambda row: _percent(row.off_language),
    Figure.REPETITION_RATE: lambda row: _percent(row.repeats),
    Figure.TRUNCATION_RATE: lambda row: _percent(row.finish_reason == "length" if row.finish_reason else None),
    Figure.EMPTY_RATE: lambda row: _percent(not row.text.strip()),
    Figure.TOKENS: lambda row: row.tokens,
    Figure.CHARACTERS: lambda row: row.characters,
}
"""What is seen of one answer; None where it is not known."""

ORDER: tuple[Figure | AnswerFigure, ...] = (
    Figure.OFF_LANGUAGE_RATE,
    Figure.REPETITION_RATE,
    Figure.TRUNCATION_RATE,
    Figure.EMPTY_RATE,
    AnswerFigure.DISTINCT_RATE,
    Figure.TOKENS,
    Figure.CHARACTERS,
)
"""Of tables: what is wrong with answers, then what they are like."""


def columns(rows: Sequence[DescribedAnswer]) -> Columns:
    """Means over the answers to each prompt, prompts in order of appearance; rates from 0 to 100.

    `distinct_rate` is the number of different texts of a prompt's `n` answers, over `n`; there is none with one answer
    each. What is not known of every answer is left out.
    """
    by_prompt: dict[tuple[str, str], list[DescribedAnswer]] = {}
    for row in rows:
        by_prompt.setdefault((row.language, row.id), []).append(row)
    found: Columns = {}
    if any(len(own) > 1 for own in by_prompt.values()):
        distinct = [100.0 * len({row.text for row in own}) / len(own) for own in by_prompt.values()]
        found[AnswerFigure.DISTINCT_RATE] = np.array(distinct)
    for figure, seen in SEEN.items():
        values = [[seen(row) for row in own] for own in by_prompt.values()]
        known = [[value for value in own if value is not None] for own in values]
        if known == values:
            found[figure] = np.array([math.fsum(own) / len(own) for own in known])
    return {figure: found[figure] for figure in ORDER if figure in found}


def result(
    rows: Mapping[str, Sequence[DescribedAnswer]], baseline: str | None
) -> tuple[dict[str, Figures], list[Difference]]:
    """Figures of each model with their 95 % intervals over prompts, and paired differences of each figure.

    Args:
        rows: by model, of the same prompts in the same order.
        baseline: each model less this one; None takes all pairs, the later less the earlier.
    """
    found = {name: columns(own) for name, own in rows.items()}
    if not found:
        return {}, []
    prompts = list(dict.fromkeys((row.language, row.id) for row in next(iter(rows.values()))))
    means = RowMeans([language for language, _ in prompts], [id for _, id in prompts])
    figures: dict[str, Figures] = {}
    for name, own in found.items():
        figures[name] = {}
        for figure, values in own.items():
            figures[name] |= means.figures(str(figure), values, percent=figure.unit == "%")
    differences = []
    for figure in ORDER:
        there = {name: own[figure] for name, own in found.items() if figure in own}
        if figure != Figure.CHARACTERS or not any(Figure.TOKENS in own for own in found.values()):
            differences += means.compared(str(figure), there, baseline)
    return figures, differences


def _percent(seen: bool | None) -> float | None:
    return None if seen is None else 100.0 * seen
