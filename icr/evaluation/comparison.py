"""Figures of several models on the same prompts, and the differences between them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from icr.checks import require_one_of
from icr.evaluation.difficulty import Verdicts, by_prompt_id, joint_difficulty
from icr.evaluation.figures import Difficulties, figures, reasons
from icr.evaluation.intervals import draws, percentiles, resampled_means
from icr.evaluation.stage import JudgedResponse
from icr.evaluation.win_rate import means_by_prompt, target_languages
from icr.metrics import Figure
from icr.rundir.measured import Difference, Result

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Rows = Mapping[str, Sequence[JudgedResponse]]
"""Judged answers by model, in the order of tables."""
TABLE, JOINT = "alpaca_eval", "joint"
"""Where length control has the difficulty of prompts from: the table of AlpacaEval's 805, or the models compared."""
_NOTES = {
    TABLE: "Length control with the difficulties of AlpacaEval's 805 prompts, estimated from public English verdicts.",
    JOINT: "Length control with the difficulty of each prompt fitted jointly to the models compared here.",
    None: "Length control without the difficulty of prompts.",
}


def check_difficulty(difficulty: str | None) -> None:
    """Refuse what is no way to know difficulties.

    Raises:
        ValueError: it is not `alpaca_eval`, `joint` or None.
    """
    if difficulty is not None:
        require_one_of("difficulty", difficulty, (TABLE, JOINT))


def compared(rows: Rows, *, difficulty: str | None = None, baseline: str | None = None) -> Result:
    """Figures of each model, and paired differences of their win rates with bootstrap intervals.

    Args:
        rows: by model.
        difficulty: `alpaca_eval` takes the table by prompt id; `joint` fits difficulties language by language to all
            models here, and falls back on none with a single model; None leaves difficulty out. A note says which.
        baseline: each model less this one; None takes all pairs, the later less the earlier.

    Raises:
        ValueError: there is no such way to know difficulties, or no such model.
        DataError: a prompt is not in the table.
    """
    check_difficulty(difficulty)
    if baseline is not None and baseline not in rows:
        raise ValueError(f"baseline must be one of {list(rows)}, got {baseline!r}")
    used = None if difficulty == JOINT and len(rows) < 2 else difficulty
    known = difficulties(rows, used)
    pairs = (
        [(later, earlier) for earlier, later in itertools.combinations(rows, 2)]
        if baseline is None
        else [(name, baseline) for name in rows if name != baseline]
    )
    drawn = cache(draws)
    differences = [found for pair in pairs for found in _differences(rows, *pair, drawn)]
    return Result(
        {name: figures(own, known) for name, own in rows.items()}, differences, [_NOTES[used], *_unjudged(rows)]
    )


def difficulties(rows: Rows, difficulty: str | None) -> Difficulties | None:
    """Difficulty of each prompt that has a verdict, by id and language; None where it is left out.

    Raises:
        DataError: a prompt is not in the table.
    """
    if difficulty is None:
        return None
    judged = {name: [row for row in own if row.preference is not None] for name, own in rows.items()}
    if difficulty == TABLE:
        keys = list(dict.fromkeys((row.id, row.language) for own in judged.values() for row in own))
        return dict(zip(keys, by_prompt_id([id for id, _ in keys]).tolist(), strict=True))
    found: dict[tuple[str, str], float] = {}
    for language in dict.fromkeys(row.language for own in judged.values() for row in own):
        models = [[row for row in own if row.language == language] for own in judged.values()]
        fitted = [_verdicts(own) for own in models if own]
        of_prompt = joint_difficulty(fitted) if len(fitted) > 1 else dict.fromkeys(fitted[0].prompts, 0.0)
        found |= {(str(id), language): value for id, value in of_prompt.items()}
    return found


def _verdicts(rows: Sequence[JudgedResponse]) -> Verdicts:
    ids = [row.id for row in rows]
    answers = {id: ids.count(id) for id in set(ids)} if len(set(ids)) < len(ids) else dict.fromkeys(ids, 1)
    return Verdicts(
        ids,
        np.array([math.nan if row.preference is None else row.preference for row in rows]),
        np.array([float(row.characters) for row in rows]),
        np.array([float(len(row.opponent)) for row in rows]),
        np.array([1 / answers[id] for id in ids]),
    )


def _differences(rows: Rows, model: str, baseline: str, drawn: Callable[[int], Floats]) -> list[Difference]:
    """Of the win rates, by language and of their mean; the ids are drawn with their prompts in all languages."""
    own, other = (_prompt_means(rows[name]) for name in (model, baseline))
    languages = [language for language in own if language in other]
    ids = list(dict.fromkeys(id for language in languages for id in own[language] if id in other[language]))
    if not ids:
        return []
    number = {id: n for n, id in enumerate(ids)}
    sums, counts = np.zeros((len(ids), len(languages))), np.zeros((len(ids), len(languages)))
    for column, language in enumerate(languages):
        for id in own[language].keys() & other[language].keys():
            sums[number[id], column] = 100.0 * (own[language][id] - other[language][id])
            counts[number[id], column] = 1
    left_out = [len(own[language].keys() ^ other[language].keys()) for language in languages]
    values = resampled_means(sums, counts, np.ones((1, len(ids))))[0]
    sampled = resampled_means(sums, counts, drawn(len(ids)))
    targets = [languages.index(language) for language in target_languages(languages)]

    def difference(language: str, columns: list[int]) -> Difference:
        of_mean = sampled[:, columns].mean(axis=1)
        bounds = percentiles(of_mean)
        known = of_mean[~np.isnan(of_mean)]
        return Difference(
            Figure.WIN_RATE.value,
            model,
            baseline,
            language,
            float(values[columns].mean()),
            bounds.low,
            bounds.high,
            prompts=int(counts[:, columns].sum()),
            left_out=sum(left_out[column] for column in columns),
            not_above=float((known <= 0).mean()) if known.size else math.nan,
        )

    return [difference("mean", targets), *(difference(l, [n]) for n, l in enumerate(languages))]


def _prompt_means(rows: Sequence[JudgedResponse]) -> dict[str, dict[Hashable, float]]:
    """Mean preference of each prompt by id, by language."""
    by: dict[str, list[JudgedResponse]] = {}
    for row in rows:
        by.setdefault(row.language, []).append(row)
    return {
        language: means_by_prompt(
            [math.nan if row.preference is None else row.preference for row in own], [row.id for row in own]
        )
        for language, own in by.items()
    }


def _unjudged(rows: Rows) -> list[str]:
    """A sentence about each model that lacks verdicts."""
    notes = []
    for name, own in rows.items():
        by = [
            f"{language}: {reason} ({count})" for language, why in reasons(own).items() for reason, count in why.items()
        ]
        if by:
            without = sum(row.preference is None for row in own)
            notes.append(f"{name}: {without} of {len(own)} comparisons have no verdict ({', '.join(by)}).")
    return notes
