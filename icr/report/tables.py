"""The tables of a run, once as data (`Grid`) for the page and the terminal alike, and as `rich` tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from icr.rundir.results import ModelResult, RoundCounts, Summary

NAMES = {"sft": "SFT", "dpo_en": "DPO-en", "kto_en": "KTO-en"}
METRICS = {
    "win_rate": "Win rate, %",
    "lc_win_rate": "Length-controlled win rate, %",
    "judge_score": "Judge score",
}
REWARDS = (
    ("α", 4),
    ("reward chosen", 2),
    ("reward rejected", 2),
    ("margin", 2),
    ("tokens chosen", 1),
    ("tokens rejected", 1),
)
"""Columns of the table of rewards, and their decimals."""


@dataclass(slots=True)
class Grid:
    """A table of formatted cells; the first column is words, the others are numbers.

    Attributes:
        title, note: what stands above and below.
        columns: headings.
        rows: cells, as many as `columns` in each.
        best: (row, column) of the cells in bold.
        totals: indices of rows that add up those above.
    """

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""
    best: set[tuple[int, int]] = field(default_factory=set)
    totals: set[int] = field(default_factory=set)


def display_name(model: str) -> str:
    """`"dpo_en"` → `"DPO-en"`; names without a display form stay as they are."""
    return NAMES.get(model, model)


def number(value: float, digits: int = 1) -> str:
    """A number with `digits` decimals, or a dash for NaN, where nothing was measured."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def metric_grid(summary: Summary, metric: str) -> Grid | None:
    """Models × (mean, languages) for one of `METRICS`, the best of each column marked; `None` if no model has it."""
    models = [model for model in summary.models if model.figures.get(metric)]
    if not models:
        return None
    keys = [k for k in ["mean", *summary.languages] if any(k in model.figures[metric] for model in models)]
    digits = 1 if metric.endswith("win_rate") else 2
    grid = Grid(METRICS[metric], ["model", *keys])
    for model in models:
        cells = [number(model.figure(metric, key), digits) for key in keys]
        if keys[0] == "mean" and math.isfinite(error := model.figure(f"{metric}_se")):
            cells[0] += f" ±{error:.{digits}f}"
        grid.rows.append([display_name(model.label), *cells])
    for column, key in enumerate(keys, start=1):
        values = {row: model.figure(metric, key) for row, model in enumerate(models)}
        known = {row: value for row, value in values.items() if math.isfinite(value)}
        if known:
            top = round(max(known.values()), digits)
            grid.best |= {(row, column) for row, value in known.items() if round(value, digits) == top}
    grid.note = "The mean is over the target languages, English apart." if len(keys) > 2 else ""
    if any(model.figures.get(f"{metric}_se") for model in models):
        grid.note += " ± is one standard error over prompts."
    if metric.endswith("win_rate"):
        grid.note += _unjudged(models)
    return grid


def _unjudged(models: Sequence[ModelResult]) -> str:
    """How many comparisons of each model have no verdict; nothing where all have one."""
    counts = {
        model.label: sum(round(count) for language, count in model.figures["unjudged"].items() if language != "mean")
        for model in models
        if "unjudged" in model.figures
    }
    missing = [f"{display_name(label)} {count:,}" for label, count in counts.items() if count]
    return f" Comparisons without a verdict, left out: {', '.join(missing)}." if missing else ""


def counts_grid(summary: Summary) -> Grid | None:
    """Round and language by prompts = pairs + skipped (a column per reason), with totals; `None` without rounds."""
    rounds = summary.rounds
    if not rounds:
        return None
    reasons = list(dict.fromkeys(reason for entry in rounds for by in entry.skipped.values() for reason in by))
    lines: list[tuple[str, list[int]]] = []
    totals: set[int] = set()
    for entry in rounds:
        first = len(lines)
        for language in entry.prompts or entry.pairs:
            lines.append((f"round {entry.round} · {language}", _count(entry, language, reasons)))
        totals.add(len(lines))
        lines.append((f"round {entry.round} · total", _add(counts for _, counts in lines[first:])))
    if len(rounds) > 1:
        grand = _add(lines[row][1] for row in sorted(totals))
        totals.add(len(lines))
        lines.append(("all rounds", grand))
    columns = ["responses", "prompts", "= pairs", *(f"+ {reason}" for reason in reasons), "+ not yet paired"]
    if not any(counts[-1] for _, counts in lines):
        columns, lines = columns[:-1], [(name, counts[:-1]) for name, counts in lines]
    grid = Grid("Prompts, and what became of them", ["round · language", *columns], totals=totals)
    grid.rows = [[name, *(f"{count:,}" for count in counts)] for name, counts in lines]
    several = any(counts[2] > counts[1] for _, counts in lines)
    rule = "A prompt gives several pairs" if several else "Every prompt gives one pair"
    grid.note = f"{rule} or is counted under the reason why not. " + _left_out(summary) + _replayed(summary)
    return grid


def _count(entry: RoundCounts, language: str, reasons: list[str]) -> list[int]:
    """responses, prompts, pairs, one count per reason, and the prompts that none of these accounts for."""
    counts = [by_language.get(language, 0) for by_language in (entry.responses, entry.prompts, entry.pairs)]
    responses, prompts, pairs = counts
    by_reason = [entry.skipped.get(language, {}).get(reason, 0) for reason in reasons]
    # Some pairings make several pairs of a prompt.
    return [responses, prompts, pairs, *by_reason, max(0, prompts - pairs - sum(by_reason))]


def _add(rows: Iterable[list[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]


def _left_out(summary: Summary) -> str:
    skipped = {l: by for l, by in summary.skipped_prompts.items() if sum(by.values())}
    if not skipped:
        return "No prompt was left out before sampling."
    total = sum(sum(by.values()) for by in skipped.values())
    parts = [f"{l} {count} {reason}" for l, by in skipped.items() for reason, count in by.items() if count]
    return f"Left out before sampling: {total:,} ({'; '.join(parts)})."


def _replayed(summary: Summary) -> str:
    parts = [f"round {e.round} {l} {count}" for e in summary.rounds for l, count in e.replayed.items()]
    return f" Replayed beside these pairs: {'; '.join(parts)}." if parts else ""


def rewards_grid(summary: Summary) -> Grid | None:
    """Round and language by mean reward and length of chosen and rejected, and α of length control; `None` without."""
    grid = Grid("Rewards and lengths of the pairs", ["round · language", *(name for name, _ in REWARDS)])
    for entry in summary.rounds:
        for language in entry.pairs:
            chosen, rejected = (e.get(language, math.nan) for e in (entry.chosen_reward, entry.rejected_reward))
            values = [
                entry.alpha.get(language, math.nan),
                chosen,
                rejected,
                chosen - rejected,
                entry.chosen_tokens.get(language, math.nan),
                entry.rejected_tokens.get(language, math.nan),
            ]
            cells = [number(value, digits) for value, (_, digits) in zip(values, REWARDS, strict=True)]
            grid.rows.append([f"round {entry.round} · {language}", *cells])
    for column in range(len(grid.columns) - 1, 0, -1):
        if all(row[column] == "–" for row in grid.rows):
            for row in (grid.columns, *grid.rows):
                del row[column]
    grid.note = "Means over pairs; rewards in nats before length control, α in reward per unit of length."
    return grid if grid.rows and len(grid.columns) > 1 else None


def to_rich(grid: Grid) -> Table:
    """The grid for a terminal, readable without colour and at 100 columns."""
    table = Table(title=grid.title, caption=grid.note or None, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.title_justify = table.caption_justify = "left"
    for column, heading in enumerate(grid.columns):
        table.add_column(Text(heading), justify="right" if column else "left", overflow="fold", no_wrap=False)
    for index, row in enumerate(grid.rows):
        cells = [Text(cell, style="bold" if (index, column) in grid.best else "") for column, cell in enumerate(row)]
        table.add_row(*cells, end_section=index in grid.totals, style="bold" if index in grid.totals else "")
    return table


def results_table(summary: Summary) -> Table | None:
    """Win rate in percent, models × languages; `None` where no model was judged."""
    grid = metric_grid(summary, "win_rate")
    return to_rich(grid) if grid else None


def counts_table(summary: Summary) -> Table | None:
    """Prompts, responses, pairs and skipped prompts per round and language; `None` without rounds."""
    grid = counts_grid(summary)
    return to_rich(grid) if grid else None


def grids(summary: Summary) -> list[Grid]:
    """Every table that the summary has numbers for, results first."""
    found = [*(metric_grid(summary, metric) for metric in METRICS), rewards_grid(summary), counts_grid(summary)]
    return [grid for grid in found if grid]


def print_tables(summary: Summary, console: Console | None = None) -> None:
    """Prints what a terminal has room for, the results last: the page has every table, and by language.

    Where no model was judged, rewards and counts by language are the result.
    """
    console = console or Console()
    results, counts = metric_grid(summary, "win_rate"), counts_grid(summary)
    shown = [counts and totals_alone(counts), results] if results else [counts, rewards_grid(summary)]
    for grid in filter(None, shown):
        console.print(to_rich(grid))


def totals_alone(grid: Grid) -> Grid:
    """The same table without its lines by language."""
    rows = [grid.rows[row] for row in sorted(grid.totals)]
    return replace(grid, rows=rows, totals=set())
