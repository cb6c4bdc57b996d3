"""The picture: does the English reward order answers elsewhere, and do models come to prefer what it prefers?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from experiments.real_model.arms import PAIRS, Trained
from experiments.real_model.page import ACCURACY, LIKELIER, PROMPTS
from icr.report.svg import INK, MUTED, PALETTE, RULE, clean, new_figure, save

NAMES = {"": "ICR", "nll": "NLL control", "random": "random labels"}
WIDTH, INCHES = 7.4, 0.19
"""Of the picture, and of one row of models."""
GAINED = {
    ACCURACY: "Preference accuracy gained over the model that the rounds start from, points",
    LIKELIER: "The better answer is the likelier one: gained over the model that the rounds start from, points",
}


def draw(diagnosis: pd.DataFrame, differences: pd.DataFrame, path: Path) -> None:
    """Write the picture: reward accuracy of the first pair on each contrast, and below it what models have gained."""
    rewards = diagnosis[diagnosis.pair == PAIRS[0]]
    contrasts = list(dict.fromkeys(rewards.contrast))
    rows = [len(set(rewards[rewards.contrast == contrast].language)) for contrast in contrasts]
    gained = {title: gains for figure, title in GAINED.items() if len(gains := gains_of(differences, figure))}
    heights = [1.0 + 0.3 * (sum(rows) + len(rows))]
    heights += [1.0 + INCHES * len(set(gains.model)) for gains in gained.values()]
    figure = new_figure(WIDTH, sum(heights))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_rewards(parts[0].subplots(), rewards, contrasts)
    for part, (title, gains) in zip(parts[1:], gained.items(), strict=True):
        _draw_gains(part, gains, title)
    save(figure, path)


def gains_of(differences: pd.DataFrame, figure: str) -> pd.DataFrame:
    """Differences of the mean over target languages from the model that the rounds start from."""
    return differences[
        (differences.figure == figure) & (differences.language == "mean") & differences.baseline.str.startswith("dpo_")
    ]


def _draw_rewards(axes: Axes, rewards: pd.DataFrame, contrasts: list[str]) -> None:
    clean(axes, "Reward accuracy (bars: the best without a reward)")
    axes.grid(visible=False, axis="y")
    axes.axvline(0.5, color=RULE, linewidth=1.5)
    y, ticks = 0.0, {}
    for contrast in contrasts:
        own = rewards[rewards.contrast == contrast]
        ticks[y] = contrast.replace("_", " ")
        y += 1
        for code in dict.fromkeys(own.language):
            here = own[own.language == code]
            for shift, prompt in enumerate(PROMPTS):
                for row in here[(here.prompt == prompt) & (here.by == "reward")].itertuples():
                    at = y + 0.22 * (shift - 1)
                    draw_interval(axes, row, row.accuracy, at, PALETTE[shift])
            free = here[(here.prompt == PROMPTS[0]) & (here.by != "reward") & ~here.by.str.startswith("minus ")]
            axes.plot([free.accuracy.max()], [y], "|", color=INK, markersize=14, markeredgewidth=1.6)
            ticks[y] = code
            y += 1
    _ticks(axes, ticks, y, contrasts)
    for shift, prompt in enumerate(PROMPTS):
        axes.plot([], [], "o", color=PALETTE[shift], label=f"{prompt} prompt")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.04), ncols=len(PROMPTS), fontsize=8, frameon=False)


def _draw_gains(part: SubFigure, gains: pd.DataFrame, title: str) -> None:
    """A column a contrast, a row a model."""
    part.suptitle(title, fontsize=9)
    names = list(dict.fromkeys(gains.model))
    contrasts = list(dict.fromkeys(gains.contrast))
    columns = part.subplots(1, len(contrasts), sharey=True, squeeze=False)[0]
    for axes, contrast in zip(columns, contrasts, strict=True):
        clean(axes, contrast.replace("_", " "))
        axes.grid(visible=False, axis="y")
        axes.axvline(0, color=INK, linewidth=1)
        for row in gains[gains.contrast == contrast].itertuples():
            y = names.index(row.model)
            draw_interval(axes, row, row.value, y, MUTED if Trained.parse(row.model).control else PALETTE[1])
    columns[0].set_yticks(range(len(names)), [said(Trained.parse(name)) for name in names], fontsize=8)
    columns[0].set_ylim(len(names) - 0.4, -0.6)


def draw_interval(axes: Axes, row: Any, value: float, y: float, tint: str) -> None:
    """A value as a point, and from `row.low` to `row.high` a line."""
    axes.plot([row.low, row.high], [y, y], "-", color=tint, linewidth=1.4)
    axes.plot([value], [y], "o", color=tint, markersize=4)


def said(model: Trained) -> str:
    """`ICR M1, seed 0`, `NLL control M1, seed 0`, `balanced M1, seed 0`."""
    parts = [model.arm, NAMES[model.control] if model.control or not model.arm else ""]
    return f"{' '.join(filter(None, parts))} {model.model}, seed {model.seed}"


def _ticks(axes: Axes, ticks: dict[float, str], end: float, bold: list[str]) -> None:
    axes.set_yticks(list(ticks), list(ticks.values()))
    for label, text in zip(axes.get_yticklabels(), ticks.values(), strict=True):
        heading = text.replace(" ", "_") in bold or text in bold
        label.set(color=INK if heading else MUTED, weight="bold" if heading else "normal", fontsize=8)
    axes.set_ylim(end - 0.4, -0.6)
