"""Figures of a diagnosis as inline SVG: accuracies with their intervals, and what rewards have to do with length."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from icr.doctor.diagnose.result import Result
from icr.evaluation.diagnosis.accuracy import Accuracies
from icr.metrics import RoundMetric
from icr.report.svg import CHOSEN, INK, MUTED, PALETTE, RULE, clean, inline, new_figure

TINTS = [CHOSEN, PALETTE[3], PALETTE[2], PALETTE[1]]
BASELINES = {
    "longer": ("^", "longer"),
    "shorter": ("v", "shorter"),
    "likelier under the policy": ("P", "likelier, policy"),
    "less likely under the reference": ("X", "less likely, reference"),
}
"""The baselines that a picture has room for: where the others lie follows from these or is in the tables."""

WIDTH = 5.9
"""Inches of a figure, which a phone shows whole."""


def accuracy(result: Result, found: Mapping[str, Accuracies | None], name: str, label: str) -> str:
    """A row per language: each reward prompt's accuracy with its interval, and baselines as marks; `""` without any."""
    rows = [(code, accuracies) for code, accuracies in found.items() if accuracies]
    if not rows:
        return ""
    figure = new_figure(WIDTH, 1.4 + 0.5 * len(rows))
    axes = clean(figure.subplots())
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    count = len(result.prompts)
    for row, (_, accuracies) in enumerate(reversed(rows)):
        axes.axhline(row + 0.5, color=RULE, linewidth=0.7)
        for place, prompt in enumerate(result.prompts):
            y = row + 0.38 - 0.5 * (place + 0.5) / count
            estimate = accuracies.by_prompt[prompt].reward
            axes.plot([estimate.low, estimate.high], [y, y], color=TINTS[place % 4], linewidth=2.2)
            legend = f"{prompt} reward" if not row else None
            axes.plot(estimate.value, y, "o", color=TINTS[place % 4], markersize=6.5, label=legend)
        _marks(axes, row, accuracies, result.main)
    axes.axvline(0.5, color=MUTED, linewidth=1.2)
    axes.set_yticks(range(len(rows)), [code for code, _ in reversed(rows)], color=INK, fontsize=11)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_xlim(right=1.02)
    axes.set_xlabel("share of comparisons in the right order", color=MUTED)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9, labelcolor=INK)
    return inline(figure, name, label)


def _marks(axes: Axes, row: int, accuracies: Accuracies, main: str) -> None:
    found = accuracies.by_prompt[main].baselines
    for name, (marker, words) in BASELINES.items():
        if name in found:
            label = f"“{words}” wins" if not row else None
            axes.plot(found[name].value, row - 0.28, marker, color=MUTED, markersize=5.5, linestyle="none", label=label)


def lengths(result: Result) -> str:
    """A panel per language: reward and length of own samples, each less the mean of its prompt; `""` without any."""
    rows = [(code, found.own) for code, found in result.languages.items() if found.own and len(found.own.points)]
    if not rows:
        return ""
    columns = min(3, len(rows))
    height = -(-len(rows) // columns)
    figure = new_figure(WIDTH if columns > 1 else 0.6 * WIDTH, 1.7 * height + 0.4)
    panels = figure.subplots(height, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (code, own) in zip(panels, rows, strict=False):
        clean(axes)
        tau = own.figures[result.main][RoundMetric.LENGTH_BEFORE]
        axes.set_title(f"{code}   τ = {tau:+.2f}", loc="left", fontsize=10, color=INK)
        x, y = own.points.T
        axes.axhline(0, color=RULE, linewidth=1)
        axes.plot(x, y, "o", color=CHOSEN, markersize=2.6, alpha=0.45, markeredgewidth=0)
        if np.ptp(x) > 0:
            slope = float((x * y).sum() / (x * x).sum())
            ends = np.array([x.min(), x.max()])
            axes.plot(ends, slope * ends, color=PALETTE[0], linewidth=1.6)
    for axes in panels[len(rows) :]:
        axes.set_visible(False)
    figure.supxlabel("length less the prompt's mean", color=MUTED, fontsize=9)
    figure.supylabel("reward less the prompt's mean, nats", color=MUTED, fontsize=9)
    return inline(figure, "lengths", "Reward and length of own samples by language")
