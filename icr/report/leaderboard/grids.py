"""What benchmarks have found, as tables for the page and the terminal alike, and as a long table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console

from icr.metrics import Figure
from icr.report.leaderboard.names import named
from icr.report.tables import Grid, display_name, number, to_rich

if TYPE_CHECKING:
    from icr.rundir.measured import Difference, Figures, Measured, Result

WIN_RATE = Figure.WIN_RATE.value
"""Name of the benchmark, and of its first figure."""
MAIN = (WIN_RATE, Figure.LC_WIN_RATE.value)
"""Its figures that are results; the others say what answers and verdicts are like."""


def models_of(measured: Measured) -> list[str]:
    """Names of all models that a benchmark has figures of, in the order of tables."""
    found = [model for result in measured.results.values() for model in result.figures]
    named_first = [model for model in measured.models if model in found]
    return list(dict.fromkeys([*named_first, *found]))


def figures_of(result: Result) -> list[str]:
    """Names of a benchmark's figures, without standard errors and ends of intervals, which stand beside theirs."""
    names = dict.fromkeys(name for own in result.figures.values() for name in own)
    others = {f"{name}{suffix}" for name in names for suffix in ("_se", "_low", "_high")}
    return [name for name in names if name not in others]


def main_figures(benchmark: str, result: Result) -> list[str]:
    """Those of a benchmark's figures that stand in the overview: of the win rates both, of others the first."""
    names = figures_of(result)
    return [name for name in MAIN if name in names] if benchmark == WIN_RATE else names[:1]


def value(own: Figures, figure: str, key: str = "mean") -> float:
    """A figure of a model in a language, or over all; NaN where it was not measured.

    Over all languages it is the mean as the benchmark takes it, the sum for what is counted, and the figure itself
    where there is one alone.
    """
    by = own.get(figure, {})
    apart = [number for language, number in by.items() if language != "mean"]
    if key == "mean" and named(figure).counted:
        return sum(apart) if apart else math.nan
    if key == "mean" and "mean" not in by and len(apart) == 1:
        return apart[0]
    return by.get(key, math.nan)


def overview(measured: Measured) -> Grid | None:
    """Models × main figures over all languages, each with its difference to the baseline; None without any."""
    models = models_of(measured)
    grid = Grid("Leaderboard", ["model"], [[display_name(model)] for model in models])
    for benchmark, result in measured.results.items():
        for figure in main_figures(benchmark, result):
            title = named(figure).title
            known = title if benchmark == WIN_RATE or title == benchmark else f"{benchmark} · {title}"
            _add_column(grid, known, figure, result, models, "mean")
            for baseline in _baselines(result, figure)[:1]:
                grid.columns.append(f"over {display_name(baseline)}")
                by_model = {d.model: d for d in differences_of(result, figure, baseline) if d.language == "mean"}
                for row, model in zip(grid.rows, models, strict=True):
                    row.append(interval(by_model.get(model), _decimals(result, figure)))
    shown = {f for name, r in measured.results.items() for main in main_figures(name, r) for f in beside(r, main)}
    parts = [
        _mean_note(measured.languages),
        "± is one standard error over prompts." if "_se" in shown else "",
        "In brackets behind a figure is its 95 % interval over prompts." if "_low" in shown else "",
        "Differences are on the same prompts, with 95 % intervals." if _has_differences(measured) else "",
    ]
    grid.note = " ".join(filter(None, parts))
    return grid if len(grid.columns) > 1 else None


def means(result: Result, figures: Sequence[str], title: str, models: Sequence[str]) -> Grid | None:
    """These figures × models, over all languages: many figures stand side by side on no screen; None without any."""
    models = [model for model in models if model in result.figures]
    grid = Grid(title, ["", *map(display_name, models)])
    for row, figure in enumerate(figures):
        cells, best = _cells(figure, result, models, "mean")
        grid.rows.append([named(figure).title, *cells])
        grid.best |= {(row, column + 1) for column in best}
    return grid if grid.rows and models else None


def by_language(result: Result, figure: str, languages: Sequence[str], models: Sequence[str]) -> Grid | None:
    """Models × (mean, languages) for one figure, with ± its standard error; None where no language is apart."""
    models = [model for model in models if result.figures.get(model, {}).get(figure)]
    found = {key for model in models for key in result.figures[model][figure]} - {"mean"}
    keys = [key for key in dict.fromkeys([*languages, *sorted(found)]) if key in found]
    if not keys:
        return None
    counted = named(figure).counted
    several = len(keys) > 1
    grid = Grid(named(figure).title, ["model"], [[display_name(model)] for model in models])
    for key in ["mean", *keys] if several else keys:
        heading = "all" if counted and key == "mean" else key
        _add_column(grid, heading, figure, result, models, key)
    grid.note = " ".join(filter(None, [named(figure).about, _mean_note(keys) if several and not counted else ""]))
    return grid


def differences_grid(result: Result, figure: str, baseline: str, languages: Sequence[str]) -> Grid:
    """Models × (mean, languages): a figure less that of `baseline`, with its 95 % interval."""
    rows = differences_of(result, figure, baseline)
    found = {row.language for row in rows}
    keys = [key for key in dict.fromkeys(["mean", *languages, *sorted(found)]) if key in found]
    grid = Grid(f"{named(figure).title}: difference to {display_name(baseline)}", ["model", *keys])
    by_key = {(row.model, row.language): row for row in rows}
    for model in dict.fromkeys(row.model for row in rows):
        cells = [interval(by_key.get((model, key)), _decimals(result, figure)) for key in keys]
        grid.rows.append([display_name(model), *cells])
    counts = sorted({row.prompts for row in rows if row.language != "mean"})
    span = f"{counts[0]:,}" if len(set(counts)) == 1 else f"{counts[0]:,} to {counts[-1]:,}" if counts else ""
    left_out = sum(row.left_out for row in rows if row.language != "mean")
    grid.note = "In brackets 95 % intervals, paired by prompt" + (f", on {span} prompts a language." if span else ".")
    grid.note += f" Left out, having a verdict from one of the two alone: {left_out:,} prompts." if left_out else ""
    return grid


def differences_of(result: Result, figure: str, baseline: str) -> list[Difference]:
    """The differences of a figure to that of one model, in order."""
    return [d for d in result.differences if (d.figure, d.baseline) == (figure, baseline)]


def compared(result: Result) -> list[tuple[str, str]]:
    """Figure and baseline of all differences, each once, in order."""
    return list(dict.fromkeys((d.figure, d.baseline) for d in result.differences))


def interval(found: Difference | None, digits: int) -> str:
    """`"+16.4 [+14.1, +18.8]"`; a dash where there is none."""
    if found is None or not math.isfinite(found.value):
        return "–"
    low, high = (signed(bound, digits) for bound in (found.low, found.high))
    return f"{signed(found.value, digits)} [{low}, {high}]"


def signed(number: float, digits: int) -> str:
    """A number with its sign; what rounds to zero has none."""
    text = f"{number:+.{digits}f}" if math.isfinite(number) else "–"
    return text[1:] if float(text.strip("–") or 0) == 0 and text != "–" else text.replace("-", "−")


def spread(own: Figures, figure: str, key: str, digits: int) -> str:
    """What stands behind a figure: `" ±1.5"`, its standard error, or `" [58.1, 61.9]"`, its interval, or nothing."""
    found, error = value(own, figure, key), value(own, f"{figure}_se", key)
    low, high = (value(own, f"{figure}_{end}", key) for end in ("low", "high"))
    if math.isfinite(low) and math.isfinite(high):
        return f" [{number(low, digits)}, {number(high, digits)}]"
    return f" ±{number(error, digits)}" if math.isfinite(found) and math.isfinite(error) else ""


def long_table(measured: Measured) -> pd.DataFrame:
    """A row per benchmark, model, figure and language; differences have their baseline, interval and prompts."""
    rows: list[dict[str, object]] = [
        {"benchmark": benchmark, "model": model, "figure": figure, "language": language, "value": found}
        for benchmark, result in measured.results.items()
        for model, own in result.figures.items()
        for figure, by in own.items()
        for language, found in by.items()
    ]
    for benchmark, result in measured.results.items():
        rows += [{"benchmark": benchmark, **vars(difference)} for difference in result.differences]
    columns = ["benchmark", "model", "figure", "language", "value", "baseline", "low", "high", "prompts", "left_out"]
    return pd.DataFrame(rows, columns=columns).astype({"prompts": "Int64", "left_out": "Int64"})


def print_leaderboard(measured: Measured, console: Console | None = None) -> None:
    """Prints what a terminal of 100 columns has room for, the results last; the page has every table."""
    console = console or Console()
    shown = [*_checks(measured), *_by_language(measured), overview(_first(measured))]
    for grid in filter(None, shown):
        console.print(to_rich(grid))


def checks(measured: Measured) -> Grid | None:
    """What answers and verdicts are like, over all languages; None where nobody has looked."""
    result = measured.results.get(WIN_RATE)
    others = [name for name in figures_of(result) if name not in MAIN] if result else []
    return means(result, others, "Answers and verdicts", models_of(measured)) if result else None


def _checks(measured: Measured) -> list[Grid | None]:
    others = {name: result for name, result in measured.results.items() if name != WIN_RATE}
    models = models_of(measured)
    return [checks(measured), *(means(r, figures_of(r), name, models) for name, r in others.items())]


def _by_language(measured: Measured) -> list[Grid | None]:
    result = measured.results.get(WIN_RATE)
    grid = by_language(result, WIN_RATE, measured.languages, models_of(measured)) if result else None
    if grid is None or len(grid.columns) == 2:
        return []
    # Nine languages have no room for their errors.
    rows = [[*cells[:2], *(cell.partition(" ±")[0] for cell in cells[2:])] for cells in grid.rows]
    return [replace(grid, rows=rows, note="")]


def _first(measured: Measured) -> Measured:
    """The win rates alone, where there are some: a terminal has no room for others beside them."""
    kept = {WIN_RATE: measured.results[WIN_RATE]} if WIN_RATE in measured.results else measured.results
    return replace(measured, results=kept)


def _add_column(grid: Grid, heading: str, figure: str, result: Result, models: Sequence[str], key: str) -> None:
    """Adds a cell to the row of each model."""
    cells, best = _cells(figure, result, models, key)
    grid.best |= {(row, len(grid.columns)) for row in best}
    grid.columns.append(heading)
    for row, cell in zip(grid.rows, cells, strict=True):
        row.append(cell)


def _cells(figure: str, result: Result, models: Sequence[str], key: str) -> tuple[list[str], list[int]]:
    """A figure of each model with ± its standard error or its interval, and which of them are the best."""
    digits, cells, rounded = _decimals(result, figure), [], {}
    for index, model in enumerate(models):
        own = result.figures.get(model, {})
        found = value(own, figure, key)
        if math.isfinite(found):
            rounded[index] = round(found, digits) + 0.0  # No minus before what rounds to zero.
        cells.append(number(rounded.get(index, math.nan), digits) + spread(own, figure, key, digits))
    marked = named(figure).best and len(rounded) > 1
    return cells, [index for index, found in rounded.items() if marked and found == max(rounded.values())]


def _decimals(result: Result, figure: str) -> int:
    return named(figure).decimals(v for own in result.figures.values() for v in own.get(figure, {}).values())


def _baselines(result: Result, figure: str) -> list[str]:
    return [baseline for name, baseline in compared(result) if name == figure]


def beside(result: Result, figure: str) -> list[str]:
    """What stands beside a figure: `_se`, or `_low` and `_high`."""
    known = {name for own in result.figures.values() for name in own}
    return [suffix for suffix in ("_se", "_low", "_high") if f"{figure}{suffix}" in known]


def _has_differences(measured: Measured) -> bool:
    return any(result.differences for result in measured.results.values())


def _mean_note(languages: Sequence[str]) -> str:
    targets = [language for language in languages if language != "en"]
    if len(targets) == len(languages) or not targets:
        return ""
    over = f"the {len(targets)} target languages" if len(targets) > 1 else targets[0]
    return f"The mean is over {over}, English apart."
