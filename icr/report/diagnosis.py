"""What each round's responses and rewards look like, and whether a limit was passed: a table for the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from icr.evaluation import Limits
from icr.evaluation.diagnosis.settings import verdicts
from icr.evaluation.diagnosis.verdict import Level
from icr.metrics import RoundMetric
from icr.report.tables import Grid, number

if TYPE_CHECKING:
    from icr.evaluation.diagnosis.verdict import Verdict
    from icr.rundir.reader import Run

COLUMNS = {
    "equal rewards": RoundMetric.EQUAL_REWARDS,
    "margin": RoundMetric.MARGIN,
    "τ length": RoundMetric.LENGTH_BEFORE,
    "τ after control": RoundMetric.LENGTH_AFTER,
    "τ policy": RoundMetric.WITH_POLICY,
    "τ reference": RoundMetric.WITH_REFERENCE,
    "nats apart": RoundMetric.LOG_RATIO,
    "cut": RoundMetric.TRUNCATED,
    "duplicates": RoundMetric.DUPLICATES,
    "repeating": RoundMetric.REPEATING,
    "off-language": RoundMetric.OFF_LANGUAGE,
}


def diagnosis_grid(run: Run) -> Grid | None:
    """Round and language by figures and verdict; None where no round was diagnosed."""
    grid = Grid("What was sampled and rewarded", ["round · language", "verdict", *COLUMNS])
    for entry in run.summary.rounds:
        found = of_round(run, entry.round)
        languages = dict.fromkeys(code for values in entry.diagnosis.values() for code in values)
        for code in languages:
            values = (entry.diagnosis.get(metric, {}).get(code, math.nan) for metric in COLUMNS.values())
            level = str(found[code].level) if code in found else "–"
            grid.rows.append([f"round {entry.round} · {code}", level, *(number(value, 2) for value in values)])
    for column in range(len(grid.columns) - 1, 1, -1):
        if all(row[column] == "–" for row in grid.rows):
            for row in (grid.columns, *grid.rows):
                del row[column]
    grid.note = (
        "τ is Kendall's, of the reward with length and with the log-probs of the reward pair, over responses to one "
        "prompt; margin in nats; policy and reference are so many nats per token apart; the rest are shares. Without "
        "labels, go means that nothing is seen to be broken."
    )
    return grid if grid.rows else None


def reasons(run: Run) -> list[tuple[str, str]]:
    """Round, languages and level, with the reason, of all that passed a limit; the worst of a round first."""
    found: dict[tuple[int, Level, str], list[str]] = {}
    for entry in run.summary.rounds:
        for code, verdict in of_round(run, entry.round).items():
            for reason in verdict.reasons:
                found.setdefault((entry.round, reason.level, reason.text), []).append(code)
    ordered = sorted(found.items(), key=lambda item: (item[0][0], item[0][1] != Level.NO_GO))
    return [(f"round {round} · {' '.join(codes)} · {level}", text) for (round, level, text), codes in ordered]


def of_round(run: Run, number: int) -> dict[str, Verdict]:
    """Verdicts of a round by the limits in the run's configuration; empty where it has none, or none that is whole."""
    settings = run.settings().get("diagnosis") or {}
    try:
        limits = Limits(**{name: limit for name, limit in settings["limits"].items() if not name.startswith("_")})
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
    figures = next((entry.diagnosis for entry in run.summary.rounds if entry.round == number), {})
    return verdicts(limits, figures)
