"""A diagnosis as tables, for the terminal and the page alike."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from icr.doctor.diagnose.result import Result
from icr.evaluation.diagnosis.accuracy import Accuracies
from icr.evaluation.diagnosis.shares import Estimate
from icr.evaluation.diagnosis.verdict import Level
from icr.metrics import RoundMetric
from icr.report.tables import Grid, number, to_rich

MARKS = {Level.GO: "[green]✓[/] go", Level.CAUTION: "[yellow]![/] caution", Level.NO_GO: "[red]✗[/] no-go"}

FIGURES = {
    "pairs / prompt": RoundMetric.PAIRS,
    "equal rewards": RoundMetric.EQUAL_REWARDS,
    "margin": RoundMetric.MARGIN,
    "τ length": RoundMetric.LENGTH_BEFORE,
    "τ after control": RoundMetric.LENGTH_AFTER,
    "τ policy": RoundMetric.WITH_POLICY,
    "τ reference": RoundMetric.WITH_REFERENCE,
    "log π/π_ref": RoundMetric.LOG_RATIO,
}
TEXTS = {
    "cut": RoundMetric.TRUNCATED,
    "duplicates": RoundMetric.DUPLICATES,
    "empty": RoundMetric.EMPTY,
    "repeating": RoundMetric.REPEATING,
    "off-language": RoundMetric.OFF_LANGUAGE,
}


def show(result: Result, console: Console) -> None:
    """Print the figures, then the verdicts with their reasons, then the languages by verdict."""
    for grid in grids(result):
        console.print(to_rich(grid))
    for note in result.notes:
        console.print(f"• {escape(note)}")
    table = Table(title="Diagnosis", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for code, found in result.languages.items():
        reasons = "\n".join(
            f"{'✗' if reason.level == Level.NO_GO else '!'} {escape(reason.text)}" for reason in found.verdict.reasons
        )
        table.add_row(code, MARKS[found.verdict.level], reasons or "[dim]within all limits[/]")
    console.print(table)
    console.print(headline(result))


def headline(result: Result) -> str:
    """The languages by verdict, in a line."""
    parts = [f"{level}: {' '.join(codes)}" for level in Level if (codes := result.at(level))]
    return " · ".join(parts)


def grids(result: Result) -> list[Grid]:
    """All tables that there are figures for."""
    languages = result.languages
    made = [
        _accuracies(result, "Accuracy by labels, at equal length", {c: f.equal for c, f in languages.items()}, _EQUAL),
        _accuracies(result, "Accuracy by labels, as given", {c: f.given for c, f in languages.items()}, _GIVEN),
        _accuracies(result, "Accuracy by the judge, own samples", {c: f.judged for c, f in languages.items()}, ""),
        _own(result, "Own samples: the reward", FIGURES, _REWARD_NOTE, 2),
        _agreement(result),
        _own(result, "Own samples: the responses", TEXTS, _TEXT_NOTE, 3),
        _pairs(result),
    ]
    return [grid for grid in made if grid.rows]


_EQUAL = (
    "Both answers are cut to the length in tokens of the shorter one, and neither has an end-of-turn token. Ties are "
    "wrong. "
)
_GIVEN = "Answers as they are, with their end-of-turn token: length may decide. Ties are wrong. "
_REWARD_NOTE = (
    "Under the run's reward prompt. τ is Kendall's, over responses to one prompt; margin in nats; log π/π_ref in nats "
    "per token."
)
_TEXT_NOTE = (
    "Shares of the responses; of at most about 200 per language for repetition and language. – was not measured."
)


def _accuracies(result: Result, title: str, by_language: Mapping[str, Accuracies | None], note: str) -> Grid:
    others = [name for name in result.prompts if name != result.main]
    columns = ["language", "n", result.main, *others, "best without a reward", "is", "difference"]
    grid = Grid(title, columns)
    for code, accuracies in by_language.items():
        if accuracies is None:
            continue
        own = accuracies.by_prompt[result.main]
        best = own.best
        baseline = [best, number(own.baselines[best].value, 2), signed(own.over[best])] if best else ["–"] * 3
        grid.rows.append(
            [
                code,
                f"{own.reward.comparisons:,}",
                interval(own.reward),
                *(number(accuracies.by_prompt[name].reward.value, 2) for name in others),
                *baseline,
            ]
        )
    grid.note = f"{note}Brackets are intervals; the difference is the reward's accuracy less the baseline's, paired."
    return grid


def _own(result: Result, title: str, figures: Mapping[str, RoundMetric], note: str, digits: int) -> Grid:
    grid = Grid(title, ["language", "responses", *figures], note=note)
    for code, found in result.languages.items():
        if found.own:
            own = found.own.figures[result.main]
            values = (number(own.get(name, math.nan), digits) for name in figures.values())
            grid.rows.append([code, f"{found.own.responses:,}", *values])
    return grid


def _agreement(result: Result) -> Grid:
    columns = ["language · with", "alike", "τ", "same chosen", "same rejected", "swapped"]
    grid = Grid(f"Own samples: {result.main} rewards and others", columns)
    for code, found in result.languages.items():
        for name, agreement in found.own.agreement.items() if found.own else ():
            shares = (agreement.correlation, agreement.chosen, agreement.rejected, agreement.swapped)
            cells = (number(share, 2) for share in shares)
            grid.rows.append([f"{code} · {name}", interval(agreement.order), *cells])
    grid.note = "Alike: share of the comparisons of two responses that both rewards order alike; a half is chance."
    return grid


def _pairs(result: Result) -> Grid:
    counts = {code: found.own.pairs[result.main] for code, found in result.languages.items() if found.own}
    reasons = dict.fromkeys(reason for of in counts.values() for reason in of)
    grid = Grid("Own samples: pairs", ["language", *reasons])
    grid.rows = [[code, *(f"{of.get(reason, 0):,}" for reason in reasons)] for code, of in counts.items()]
    return grid


def interval(estimate: Estimate) -> str:
    """`0.82 [0.74, 0.88]`, a dash where nothing was compared."""
    return str(estimate) if math.isfinite(estimate.value) else "–"


def signed(estimate: Estimate) -> str:
    """`+0.08 [−0.01, +0.17]`."""
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"
