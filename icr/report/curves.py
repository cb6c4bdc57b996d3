"""Figures of the way there: the length-control curve and the training curves. Each returns inline SVG, or `""`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from icr.metrics import Metric
from icr.report.svg import CHOSEN, INK, MUTED, REJECTED, clean, colour, inline, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from icr.rundir.reader import LengthCurve

COLUMNS = 4
LEGEND = {"loc": "outside upper left", "ncols": 2, "frameon": False, "fontsize": 9, "labelcolor": INK}
POINTS = 240  # drawn a line: more cannot be seen, and the page carries every one
PANELS = {
    "loss": [Metric.LOSS],
    "preference loss": [Metric.PREFERENCE_LOSS],
    "NLL of chosen, nats a token": [Metric.NLL],
    "reward margin, nats": [Metric.REWARDS_MARGINS],
    "share of margins above 0": [Metric.REWARDS_ACCURACIES],
    "log-prob of a response, nats": [Metric.LOGPS_CHOSEN, Metric.LOGPS_REJECTED],
}


def length_control(curves: Mapping[str, LengthCurve], number: int) -> str:
    """Small multiples, one per language: mean length of chosen and rejected as α grows, and the α taken.

    Args:
        curves: by language.
        number: the round.
    """
    curves = {l: c for l, c in curves.items() if len(c.get("starts") or [])}
    if not curves:
        return ""
    rows = -(-len(curves) // COLUMNS)
    columns = min(COLUMNS, len(curves))
    figure = new_figure(2.55 * columns, 0.5 + 2.05 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, (language, curve) in zip(panels, curves.items(), strict=False):
        _length_panel(axes, language, curve)
    figure.legend(*panels[0].get_legend_handles_labels(), **LEGEND)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    unit = next(iter(curves.values())).get("unit", "tokens")
    figure.supylabel(f"mean length, {unit}", color=MUTED, fontsize=9.5)
    figure.supxlabel(f"α, nats per {unit.rstrip('s')}", color=MUTED, fontsize=9.5)
    return inline(figure, f"length{number}", f"Mean length of chosen and rejected against alpha, round {number}")


def _length_panel(axes: Axes, language: str, curve: LengthCurve) -> None:
    starts, alpha = np.asarray(curve["starts"], dtype=float), float(curve["alpha"])
    # Most breakpoints lie near 0 and a few far out; what matters is the stretch up to a few times the α taken.
    end = min(float(starts[-1]), max(3 * alpha, float(np.quantile(starts, 0.9)))) or 1.0
    at = np.linspace(0, end, POINTS)
    interval = np.clip(np.searchsorted(starts, at, side="right") - 1, 0, None)
    clean(axes, language)
    lines = (("chosen", curve["chosen_length"], CHOSEN), ("rejected", curve["rejected_length"], REJECTED))
    for label, lengths, tint in lines:
        values = np.asarray(lengths, dtype=float)[interval]
        axes.plot(at, values, color=tint, linewidth=1.7, drawstyle="steps-post", label=label)
    axes.axvline(alpha, color=INK, linewidth=1, linestyle=(0, (3, 2)))
    axes.annotate(
        f"α = {alpha:.3g}", (alpha, 0.97), (4, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
        color=INK, fontsize=8.5, va="top",
    )  # fmt: skip
    axes.set_xlim(0, end)
    axes.locator_params(axis="x", nbins=4)
    axes.locator_params(axis="y", nbins=5)


def training(metrics: pd.DataFrame, languages: list[str]) -> str:
    """Loss, preference loss, NLL, margins, accuracies and log-probs over the optimiser steps of all rounds, end to end.

    Args:
        metrics: `metrics.csv`: `round`, `step` and a column per metric, NaN where it was not logged.
    """
    panels = {title: own for title, names in PANELS.items() if (own := [n for n in names if logged(metrics, n)])}
    if not panels:
        return ""
    x, edges = end_to_end(metrics)
    figure = new_figure(10.2, 0.35 + 2.45 * (-(-len(panels) // 3)))
    grid = figure.subplots(-(-len(panels) // 3), min(3, len(panels)), squeeze=False).ravel()
    for axes, (title, names) in zip(grid, panels.items(), strict=False):
        clean(axes, title)
        if names == [Metric.REWARDS_MARGINS]:
            for language in languages:
                _draw(axes, x, metrics, names[0].of(language), colour(language, languages), 0.8, alpha=0.55)
        for name, tint in zip(names, [INK] if len(names) == 1 else [CHOSEN, REJECTED], strict=False):
            _draw(axes, x, metrics, name, tint, 2.0)
        if len(names) > 1:
            axes.legend([n.split("/")[-1] for n in names], frameon=False, fontsize=8.5, labelcolor=INK)
        for edge in edges[1:]:
            axes.axvline(edge, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
        axes.locator_params(axis="y", nbins=5)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("optimiser step, all rounds", color=MUTED, fontsize=9.5)
    return inline(figure, "training", "Training curves over all rounds")


def logged(metrics: pd.DataFrame, name: str) -> bool:
    """Whether a metric has a value at any step."""
    return name in metrics and bool(metrics[name].notna().any())


def end_to_end(metrics: pd.DataFrame) -> tuple[np.ndarray, list[float]]:
    """Steps of all rounds on one axis, whether or not the step starts again in each, and where each round begins."""
    rounds = metrics["round"].to_numpy(float) if "round" in metrics else np.zeros(len(metrics))
    steps = metrics["step"].to_numpy(float) if "step" in metrics else np.arange(len(metrics), dtype=float)
    x, done = steps.copy(), 0.0
    edges: list[float] = []
    for number in np.unique(rounds):
        own = rounds == number
        if edges and steps[own].min() <= done:
            x[own] += done
        edges.append(done if edges else float(x[own].min()))
        done = float(x[own].max())
    return x, edges


def _draw(
    axes: Axes, x: np.ndarray, metrics: pd.DataFrame, name: str, tint: str, width: float, alpha: float = 1.0
) -> None:
    """One metric, averaged in equal bins where it has more than `POINTS` values."""
    if not logged(metrics, name):
        return
    axes.plot(*binned(x, metrics[name], POINTS), color=tint, linewidth=width, alpha=alpha, zorder=3 if width > 1 else 2)


def binned(x: np.ndarray, metric: pd.Series, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a metric where it was logged, in order; averaged in equal bins where they are more."""
    known = metric.notna().to_numpy()
    at, values = x[known], metric.to_numpy(float)[known]
    order = np.argsort(at, kind="stable")
    bins = min(len(order), points)
    steps, means = (np.array([part.mean() for part in np.array_split(a[order], bins)]) for a in (at, values))
    return steps, means
