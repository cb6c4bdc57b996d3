"""Plots over a swept key: lines where its values are numbers, dots where they are names, in panels, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from icr.report.svg import CHOSEN, INK, MARKERS, MUTED, PALETTE, RULE, clean, new_figure
from icr.report.sweep.jobs import as_number, short

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from icr.report.sweep.points import Point

WIDE = 20.0  # ratio of the largest to the smallest value from which an axis of positive numbers is logarithmic
TINTS = [CHOSEN, *PALETTE]
LENGTH = 34  # characters of a label
LETTERS = 13  # of a legend, an inch
APART = 0.17  # of the axis, between two ticks
Legend = dict[str, str]


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Attributes:
        name: in the legend.
        places: a value of the axis and its point, in the order of the axis.
        tint: its colour.
        dashes: whether it stands back: what a training started from.
        mark: of matplotlib's markers.
    """

    name: str
    places: Sequence[tuple[str, Point]]
    tint: str
    dashes: bool = False
    mark: str = "o"


def label(text: str) -> str:
    """A label that is drawn as it is: cut to a length, and without the meaning that `$` has for matplotlib."""
    cut = text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}…"
    return cut.replace("$", r"\$")


def tinted(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each name, in order."""
    return {name: (TINTS[i % len(TINTS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}


def draw(
    panels: dict[str, list[Series]], key: str, values: Sequence[str], numeric: bool, columns: int, unit: str
) -> tuple[Figure, bool]:
    """A figure of small multiples that share their axes.

    Args:
        panels: series by the panel's title.
        key: the swept key.
        values: of it, in order.
        numeric: whether they are numbers.
        columns: panels side by side, at most.
        unit: of the points.

    Returns:
        The figure, and whether an interval is cut at the edge of its panel.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    names = list(dict.fromkeys(series.name for own in panels.values() for series in own))
    width, height = _size(len(panels), columns, rows, len(values), len(names), numeric)
    figure = new_figure(width, height)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    low, high, cut = limits([point for own in panels.values() for series in own for _, point in series.places])
    for axes, (title, own) in zip(grid, panels.items(), strict=False):
        (_lines if numeric else _dots)(axes, own, values)
        clean(axes, label(title))
        if numeric:
            axes.set_ylim(low, high)
        else:
            axes.grid(axis="y", visible=False)
            axes.grid(axis="x", color=RULE, linewidth=0.7)
            axes.set_xlim(low, high)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    across, upwards = (label(short(key)), unit) if numeric else (unit, label(short(key)))
    figure.supxlabel(across, color=MUTED, fontsize=9.5)
    figure.supylabel(upwards, color=MUTED, fontsize=9.5)
    _legend(figure, panels)
    return figure, cut


def _size(panels: int, columns: int, rows: int, values: int, names: int, numeric: bool) -> tuple[float, float]:
    width = 5.6 if panels == 1 else min(10.2, 0.7 + 2.55 * columns if columns > 2 else 9.4)
    each = (3.1 if panels == 1 else 2.1) if numeric else 0.55 + values * max(0.28, 0.14 * names)
    return width, 0.75 + rows * each


def _legend(figure: Figure, panels: dict[str, list[Series]]) -> None:
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    if len(handles) > 1:
        columns = max(1, int(LETTERS * figure.get_figwidth() / (max(map(len, handles)) + 6)))
        figure.legend(
            list(handles.values()), list(handles), loc="outside upper left", ncols=columns, frameon=False, fontsize=9,
            labelcolor=INK, handletextpad=0.4, columnspacing=1.4,
        )  # fmt: skip


def limits(found: Sequence[Point]) -> tuple[float, float, bool]:
    """Ends of the axis of shares in percent, and whether an interval goes beyond: that of two seeds may be wider than
    all that is seen.
    """
    if not found:
        return 0.0, 1.0, False
    seen = [value for point in found for value in point.seeds.values()]
    halves = [(p.mean, p.half if math.isfinite(p.half) else 0.0) for p in found]
    room = max(1.25 * (max(seen) - min(seen)), 4.0)
    low = max(min(m - h for m, h in halves), min(seen) - room, 0.0)
    high = min(max(m + h for m, h in halves), max(seen) + room, 100.0)
    cut = any(m - h < low or m + h > high for m, h in halves)
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin, cut


def _lines(axes: Axes, own: Sequence[Series], values: Sequence[str]) -> None:
    numbers = [as_number(value) for value in values]
    logarithmic = min(numbers) > 0 and max(numbers) / min(numbers) >= WIDE
    if logarithmic:
        axes.set_xscale("log")
    for index, series in enumerate(own):
        shift = 0.012 * (index - (len(own) - 1) / 2)
        x = [_moved(as_number(value), shift, numbers, logarithmic) for value, _ in series.places]
        y = [point.mean for _, point in series.places]
        dashes, width = ((0, (4, 2)), 1.3) if series.dashes else ("-", 1.9)
        axes.plot(
            x, y, color=series.tint, marker=series.mark, markersize=4.5, linestyle=dashes, linewidth=width,
            label=label(series.name),
        )  # fmt: skip
        for place, (_, point) in zip(x, series.places, strict=True):
            _bar(axes, point, place, series.tint, upright=True)
    ticks = apart([math.log(number) for number in numbers] if logarithmic else numbers, numbers)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], color=INK)
    axes.set_xticks([], minor=True)


def apart(places: Sequence[float], numbers: Sequence[float]) -> list[float]:
    """The numbers whose places on the axis are far enough from the one before to be read; first and last are kept."""
    least = APART * (places[-1] - places[0])
    kept = [0]
    for i in range(1, len(places)):
        if places[i] - places[kept[-1]] >= least:
            kept.append(i)
    if kept[-1] != len(places) - 1:
        kept = [*kept[: -1 if len(kept) > 1 else None], len(places) - 1]
    return [numbers[i] for i in kept]


def _moved(x: float, shift: float, numbers: Sequence[float], logarithmic: bool) -> float:
    """A little aside, so that bars of several series can be told apart."""
    span = (max(numbers) - min(numbers)) or 1.0
    return float(x * (max(numbers) / min(numbers)) ** shift) if logarithmic else x + shift * span


def _dots(axes: Axes, own: Sequence[Series], values: Sequence[str]) -> None:
    step = 0.7 / max(1, len(own))
    for index, series in enumerate(own):
        shift = (index - (len(own) - 1) / 2) * step
        rows = [values.index(value) + shift for value, _ in series.places]
        x = [point.mean for _, point in series.places]
        face = "none" if series.dashes else series.tint
        axes.plot(
            x, rows, color=series.tint, marker=series.mark, markersize=5.5, linestyle="", markerfacecolor=face,
            label=label(series.name),
        )  # fmt: skip
        for row, (_, point) in zip(rows, series.places, strict=True):
            _bar(axes, point, row, series.tint, upright=False)
    axes.set_yticks(range(len(values)), [label(value) for value in values], color=INK)
    axes.set_ylim(len(values) - 0.5, -0.5)


def _bar(axes: Axes, point: Point, place: float, tint: str, upright: bool) -> None:
    """The interval, and a faint dot per seed."""
    if math.isfinite(point.half):
        ends = [point.mean - point.half, point.mean + point.half]
        both = ([place, place], ends) if upright else (ends, [place, place])
        axes.plot(*both, color=tint, linewidth=1.4, solid_capstyle="butt", alpha=0.8)
    if len(point.seeds) > 1:
        seeds = list(point.seeds.values())
        at = [place] * len(seeds)
        both = (at, seeds) if upright else (seeds, at)
        axes.plot(*both, color=tint, marker="o", markersize=2.2, linestyle="", alpha=0.45)
