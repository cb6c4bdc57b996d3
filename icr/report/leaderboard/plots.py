"""Figures of the leaderboard: what is measured, by language, and differences. Each returns inline SVG, or `""`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from icr.report.leaderboard.grids import differences_of, value
from icr.report.leaderboard.names import named
from icr.report.svg import CHOSEN, ENGLISH, INK, MARKERS, MUTED, PALETTE, RULE, clean, inline, new_figure
from icr.report.tables import display_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from icr.rundir.measured import Difference, Figures, Result

Z = 1.96  # of a 95 % interval
PANELS = 3  # of differences side by side


def by_language(result: Result, figure: str, languages: Sequence[str], models: Sequence[str]) -> str:
    """A dot per model in each language, the mean first, with its 95 % interval; `""` without any."""
    models = [
        model for model in models if any(map(math.isfinite, result.figures.get(model, {}).get(figure, {}).values()))
    ]
    known = {key for model in models for key in result.figures[model][figure]}
    keys = [key for key in ["mean", *languages] if key in known]
    if not keys:
        return ""
    step = 0.17 if len(models) > 2 else 0.24
    band = step * len(models) + 0.14
    plot = new_figure(7.4, 0.95 + band * len(keys))
    axes = _horizontal(plot.subplots())
    for index, model in enumerate(models):
        own = result.figures[model]
        tint = _tint(index)
        for row, key in enumerate(keys):
            place = row * band + (index - (len(models) - 1) / 2) * step
            if math.isfinite(found := value(own, figure, key)):
                _dot(axes, found, _ends(own, figure, key), place, tint, MARKERS[index % len(MARKERS)])
        axes.plot([], [], color=tint, marker=MARKERS[index % len(MARKERS)], linestyle="", label=display_name(model))
    for row in range(1, len(keys)):
        axes.axhline((row - 0.5) * band, color=RULE, linewidth=0.7)
    axes.set_yticks([row * band for row in range(len(keys))], keys, color=INK)
    axes.get_yticklabels()[0].set_fontweight("bold" if keys[0] == "mean" else "normal")
    axes.set_ylim((len(keys) - 0.5) * band, -0.5 * band)
    if "%" in named(figure).title and (limits := axes.get_xlim())[0] <= 50 <= limits[1]:
        axes.axvline(50, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel(named(figure).title.lower(), color=MUTED)
    plot.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=9, labelcolor=INK, handletextpad=0.1)
    return inline(
        plot, f"board-{figure}", f"{named(figure).title}: each model, mean and by language, with 95 % intervals"
    )


def _ends(own: Figures, figure: str, key: str) -> tuple[float, float]:
    """A figure's 95 % interval: as it was measured, or by its standard error; NaN where it has neither."""
    if f"{figure}_low" in own:
        return value(own, f"{figure}_low", key), value(own, f"{figure}_high", key)
    found, error = value(own, figure, key), value(own, f"{figure}_se", key)
    low, high = found - Z * error, found + Z * error
    return (max(low, 0.0), min(high, 100.0)) if "%" in named(figure).title else (low, high)


def differences(result: Result, figure: str, baseline: str, languages: Sequence[str], name: str) -> str:
    """A panel per model: its difference to `baseline` in each language with the 95 % interval.

    `""` without any, or where all are 0, which is nothing to look at. `name` is what no other figure of the page is
    called.
    """
    found = [d for d in differences_of(result, figure, baseline) if math.isfinite(d.value)]
    if all(abs(bound) < 1e-12 for d in found for bound in (d.value, d.low, d.high)):
        return ""
    models = list(dict.fromkeys(d.model for d in found))
    keys = [key for key in ["mean", *languages] if any(d.language == key for d in found)]
    if not keys:
        return ""
    columns = min(PANELS, len(models))
    rows = -(-len(models) // columns)
    plot = new_figure(max(4.6, min(10.2, 1.0 + 3.0 * columns)), rows * (0.95 + 0.34 * len(keys)))
    panels = list(plot.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axes, model in zip(panels, models, strict=False):
        _horizontal(axes, f"{display_name(model)} over {display_name(baseline)}").axvline(0, color=MUTED, linewidth=1)
        for d in found:
            if d.model == model and d.language in keys:
                _difference(axes, d, keys.index(d.language))
        axes.set_yticks(range(len(keys)), keys, color=INK)
        axes.set_ylim(len(keys) - 0.5, -0.5)
        unit = named(figure).title.partition(", ")[2]
        axes.set_xlabel("points" if unit == "%" else unit, color=MUTED)
    for axes in panels[len(models) :]:
        axes.set_visible(False)
    label = f"{named(figure).title}: differences to {display_name(baseline)} with 95 % intervals"
    return inline(plot, name, label)


def _difference(axes: Axes, found: Difference, place: float) -> None:
    """Coloured where the interval leaves out zero."""
    clear = found.low > 0 or found.high < 0
    tint = CHOSEN if clear and found.value > 0 else PALETTE[0] if clear else MUTED
    scale = 1.5 if found.language == "mean" else 1.0
    _dot(axes, found.value, (found.low, found.high), place, tint, "o", scale)


def _dot(axes: Axes, x: float, ends: tuple[float, float], y: float, tint: str, marker: str, scale: float = 1.0) -> None:
    if all(map(math.isfinite, ends)):
        axes.plot(ends, [y, y], color=tint, linewidth=1.6 * scale, solid_capstyle="butt")
    axes.plot([x], [y], color=tint, marker=marker, markersize=5 * scale, zorder=4)


def _horizontal(axes: Axes, title: str = "") -> Axes:
    """The house style, with rules for the horizontal axis."""
    clean(axes, title)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    return axes


def _tint(index: int) -> str:
    """The first model, which others are compared with, stands back."""
    return MUTED if index == 0 else [ENGLISH, *PALETTE][(index - 1) % (len(PALETTE) + 1)]
