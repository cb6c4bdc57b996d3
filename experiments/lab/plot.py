"""The picture of a claim: every arm's models with intervals over seeds, and below it the differences that decide."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from experiments.lab.arms import at
from experiments.lab.claim import Claim, Point
from experiments.lab.page import differences
from experiments.lab.statistics import Interval, interval, verdict
from icr.report.svg import CHOSEN, INK, MUTED, PALETTE, REJECTED, RULE, clean, new_figure, save

STARTS = {"sft": "SFT", "dpo_en": "English-aligned"}
COLOURS = {"holds": CHOSEN, "does not hold": REJECTED, "undecided": MUTED, "not run": MUTED}


def draw(claim: Claim, table: pd.DataFrame, path: Path) -> None:
    """Write the picture of a claim to `path`."""
    rows = sum(len(_models(claim, table, arm)) for arm in claim.arms) + len(claim.arms)
    heights = [1.0 + 0.24 * rows, 0.9 + 0.46 * len(claim.contrasts)]
    figure = new_figure(7.4, sum(heights))
    upper, lower = figure.subplots(2, 1, height_ratios=heights)
    _draw_arms(upper, claim, table)
    _draw_differences(lower, claim, table)
    save(figure, path)


def _models(claim: Claim, table: pd.DataFrame, arm: str) -> list[str]:
    there = dict.fromkeys(table[(table.arm == arm) & (table.figure == "win_rate")].model)
    controls = [model for model in there if model.startswith("control: ") and model.split()[-1] in claim.models]
    return [model for model in claim.models if model in there] + controls


def _draw_arms(axes: Axes, claim: Claim, table: pd.DataFrame) -> None:
    clean(axes, "Mean target win rate, %; pale: each seed").grid(axis="x", color=RULE, linewidth=0.7)
    axes.grid(visible=False, axis="y")
    y, ticks = 0.0, {}
    for arm in claim.arms:
        found = table[table.arm == arm]
        ticks[y] = arm
        y += 1
        for model in _models(claim, table, arm):
            values = list(at(found, Point(arm, model), "win_rate").values())
            control = model.startswith("control: ")
            tint = MUTED if control else PALETTE[claim.models.index(model)]
            axes.plot(values, [y] * len(values), "o", color=tint, alpha=0.3, markersize=4, markeredgewidth=0)
            _dot(axes, interval(values), y, tint, hollow=control)
            ticks[y] = model.removeprefix("control: ")
            y += 1
    axes.set_yticks(list(ticks), list(ticks.values()))
    for label, text in zip(axes.get_yticklabels(), ticks.values(), strict=True):
        label.set(color=INK if text in claim.arms else MUTED, weight="bold" if text in claim.arms else "normal")
    axes.set_ylim(y - 0.4, -0.6)
    _draw_starts(axes, table)


def _draw_starts(axes: Axes, table: pd.DataFrame) -> None:
    arm = table.arm.iloc[0]
    for model, name in STARTS.items():
        values = list(at(table[table.arm == arm], Point(arm, model), "win_rate").values())
        if values:
            axes.axvline(interval(values).mean, color=MUTED, linewidth=1, linestyle="--")
            axes.annotate(
                name, (interval(values).mean, -0.5), xytext=(4, 0), textcoords="offset points", color=MUTED, fontsize=8
            )


def _draw_differences(axes: Axes, claim: Claim, table: pd.DataFrame) -> None:
    clean(axes, "Differences; what is claimed is above 0").grid(axis="x", color=RULE, linewidth=0.7)
    axes.grid(visible=False, axis="y")
    axes.axvline(0, color=INK, linewidth=1)
    for y, (contrast, difference) in enumerate(differences(claim, table)):
        _dot(axes, difference, y, COLOURS[verdict(difference)], hollow=contrast.control)
    axes.set_yticks(range(len(claim.contrasts)), [textwrap.fill(one.says, 38) for one in claim.contrasts], color=INK)
    axes.set_ylim(len(claim.contrasts) - 0.5, -0.5)


def _dot(axes: Axes, found: Interval, y: float, tint: str, *, hollow: bool) -> None:
    mean, low, high, _ = found
    if not math.isnan(low):
        axes.plot([low, high], [y, y], "-", color=tint, linewidth=1.6)
    axes.plot([mean], [y], "o", color=tint, markersize=6.5, markerfacecolor="white" if hollow else tint)
