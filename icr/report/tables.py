"""The tables of a run, once as data (`Grid`) for the page and the terminal alike, and as `rich` tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    Summary = Mapping[str, Any]

NAMES = {"sft": "SFT", "dpo_en": "DPO-en", "kto_en": "KTO-en"}
METRICS = {
    "win_rate": "Win rate, %",
    "lc_win_rate": "Length-controlled win rate, %",
    "judge_score": "Judge score",
}


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


def number(value: float | None, digits: int = 1) -> str:
    """A number with `digits` decimals, or a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def metric_grid(summary: Summary, metric: str) -> Grid | None:
    """Models × (mean, languages) for one of `METRICS`, the best of each column marked; `None` if no model has it."""
    rows = {name: model[metric] for name, model in summary.get("models", {}).items() if model.get(metric)}
    if not rows:
        return None
    keys = [k for k in ["mean", *summary.get("languages", [])] if any(k in values for values in rows.values())]
    digits = 1 if metric.endswith("win_rate") else 2
    grid = Grid(METRICS[metric], ["model", *keys])
    errors = {name: summary["models"][name].get(f"{metric}_se") or {} for name in rows}
    for name, values in rows.items():
        cells = [number(values.get(key), digits) for key in keys]
        if keys[0] == "mean" and (error := errors[name].get("mean")) is not None and math.isfinite(error):
            cells[0] += f" ±{error:.{digits}f}"
        grid.rows.append([display_name(name), *cells])
    for column, key in enumerate(keys, start=1):
        known = {row: v for row, values in enumerate(rows.values()) if number(v := values.get(key)) != "–"}
        if known:
            top = round(max(known.values()), digits)
            grid.best |= {(row, column) for row, value in known.items() if round(value, digits) == top}
    grid.note = "The mean is over the target languages, English apart." if len(keys) > 2 else ""
    if any(errors.values()):
        grid.note += " ± is one standard error over prompts."
    return grid


def counts_grid(summary: Summary) -> Grid | None:
    """Round and language by prompts = pairs + skipped (a column a reason), with totals; `None` without rounds."""
    rounds = summary.get("rounds") or []
    if not rounds:
        return None
    reasons = list(dict.fromkeys(r for e in rounds for by in (e.get("skipped") or {}).values() for r in by))
    lines, totals = [], set()
    for entry in rounds:
        first = len(lines)
        for language in entry.get("prompts") or entry.get("pairs") or {}:
            lines.append((f"round {entry['round']} · {language}", _count(entry, language, reasons)))
        totals.add(len(lines))
        lines.append((f"round {entry['round']} · total", _add(counts for _, counts in lines[first:])))
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
    grid.note = f"{rule} or is counted under the reason why not. " + _left_out(summary)
    return grid


def _count(entry: Mapping[str, Any], language: str, reasons: list[str]) -> list[int]:
    """responses, prompts, pairs, one count a reason, and the prompts that none of these accounts for."""
    responses, prompts, pairs = (int((entry.get(k) or {}).get(language, 0)) for k in ("responses", "prompts", "pairs"))
    skipped = (entry.get("skipped") or {}).get(language) or {}
    by_reason = [int(skipped.get(reason, 0)) for reason in reasons]
    # Some pairings make several pairs of a prompt.
    return [responses, prompts, pairs, *by_reason, max(0, prompts - pairs - sum(by_reason))]


def _add(rows) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]


def _left_out(summary: Summary) -> str:
    skipped = {l: by for l, by in (summary.get("skipped_prompts") or {}).items() if sum(by.values())}
    if not skipped:
        return "No prompt was left out before sampling."
    total = sum(sum(by.values()) for by in skipped.values())
    parts = [f"{l} {count} {reason}" for l, by in skipped.items() for reason, count in by.items() if count]
    return f"Left out before sampling: {total:,} ({'; '.join(parts)})."


def rewards_grid(summary: Summary) -> Grid | None:
    """Round and language by mean reward and length of chosen and rejected, and α of length control; `None` without."""
    columns = {
        "α": ("alpha", 4),
        "reward chosen": ("chosen_reward", 2),
        "reward rejected": ("rejected_reward", 2),
        "margin": ("", 2),
        "tokens chosen": ("chosen_tokens", 1),
        "tokens rejected": ("rejected_tokens", 1),
    }
    grid = Grid("Rewards and lengths of the pairs", ["round · language", *columns])
    for entry in summary.get("rounds") or []:
        for language in entry.get("pairs") or {}:
            value = {key: (entry.get(key) or {}).get(language) for key, _ in columns.values() if key}
            chosen, rejected = value["chosen_reward"], value["rejected_reward"]
            value[""] = None if chosen is None or rejected is None else chosen - rejected
            cells = [number(value[key], digits) for key, digits in columns.values()]
            grid.rows.append([f"round {entry['round']} · {language}", *cells])
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
    """Prompts, responses, pairs and skipped prompts a round and language; `None` without rounds."""
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
