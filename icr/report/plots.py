"""Figures of results: win rate over rounds, reward accuracy, reward distributions. Each returns inline SVG, or `""`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from icr.report.svg import (
    CHOSEN,
    ENGLISH,
    INK,
    MUTED,
    PALETTE,
    REJECTED,
    RULE,
    clean,
    colour,
    inline,
    label_ends,
    marker,
    new_figure,
)
from icr.report.tables import display_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from icr.rundir.results import ModelResult, Summary


def win_rate_figure(summary: Summary) -> Figure | None:
    """Mean with its 95 % interval, English and the controls at the left; every language at the right.

    `None` where no model was judged.
    """
    road = [model for model in summary.road if model.figures.get("win_rate")]
    if not road:
        return None
    figure = new_figure(10.2, 4.6)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.25, 1])
    languages = [l for l in summary.languages if any(l in model.figures["win_rate"] for model in road)]
    names = [display_name(model.label) for model in road]
    for axes, title in ((left, "Mean over target languages"), (right, "Each language")):
        clean(axes, title).set_xticks(range(len(names)), names, color=INK)
        axes.set_xlim(-0.25, len(names) - 0.55 + (0.55 if axes is left else 0))
    left.set_ylabel("win rate, %", color=MUTED)
    _draw_languages(right, road, languages)
    _draw_mean(left, road, summary.controls, languages)
    return figure


def _line(road: Sequence[ModelResult], language: str, metric: str = "win_rate") -> np.ndarray:
    return np.array([model.figure(metric, language) for model in road])


def _places(control: Sequence[ModelResult], road: Sequence[ModelResult]) -> list[tuple[int, float]]:
    """Places along the road and win rates of a control's models: a round's beside that round's, others at the end.

    A control starts where the method starts.
    """
    of_round = {model.round: place for place, model in enumerate(road) if model.kind == "round"}
    at = [(len(road) - 1 if model.round is None else of_round.get(model.round), model) for model in control]
    places = sorted((place, model.figure("win_rate")) for place, model in at if place is not None)
    if places and (before := places[0][0] - 1) >= 0:
        places.insert(0, (before, road[before].figure("win_rate")))
    return places


def _draw_mean(
    axes: Axes, road: Sequence[ModelResult], controls: Mapping[str, list[ModelResult]], languages: list[str]
) -> None:
    x, mean, error = np.arange(len(road)), _line(road, "mean"), _line(road, "mean", "win_rate_se")
    ends = []
    if np.isfinite(error).any():
        axes.fill_between(x, mean - 1.96 * error, mean + 1.96 * error, color=MUTED, alpha=0.22, linewidth=0)
    if "en" in languages and len(languages) > 1:
        english = _line(road, "en")
        axes.plot(x, english, color=ENGLISH, marker="o", markersize=4, linewidth=1.8)
        ends.append((float(english[-1]), "English", ENGLISH))
    for index, control in enumerate(controls.values()):
        if not (places := _places(control, road)):
            continue
        tint = PALETTE[(2, 3, 0, 5)[index % 4]]
        axes.plot(
            *zip(*places, strict=True), color=tint, linestyle=(0, (4, 2)), marker="o", markersize=3, linewidth=1.4
        )
        if places[-1][0] == len(road) - 1:
            ends.append((places[-1][1], f"control:\n{control[0].control_label}", tint))
    axes.plot(x, mean, color=INK, marker="o", markersize=6, linewidth=2.8, zorder=5)
    ends.append((float(mean[-1]), "mean", INK))
    for i, value in enumerate(mean):
        if np.isfinite(value):
            axes.annotate(
                f"{value:.1f}", (i, value), (-3, 8), textcoords="offset points", ha="right", color=INK,
                fontweight="bold", zorder=6,
            )  # fmt: skip
    label_ends(axes, x[-1], [end for end in ends if np.isfinite(end[0])], gap=0.085)


def _draw_languages(axes: Axes, road: Sequence[ModelResult], languages: list[str]) -> None:
    ends = []
    for language in languages:
        values, tint = _line(road, language), colour(language, languages)
        axes.plot(range(len(road)), values, color=tint, marker=marker(language, languages), markersize=4, linewidth=1.5)
        ends.append((float(values[-1]), language, tint))
    label_ends(axes, len(road) - 1, [end for end in ends if np.isfinite(end[0])], gap=0.048)


def win_rate(summary: Summary) -> str:
    """`win_rate_figure` as inline SVG."""
    figure = win_rate_figure(summary)
    return inline(figure, "win", "Win rate of each model, mean and by language") if figure else ""


def reward_accuracy(summary: Summary) -> str:
    """Bars by language, one colour per reward prompt; the axis starts at a half, which is chance."""
    kinds = {name: values for name, values in summary.reward_accuracy.items() if values}
    if not kinds:
        return ""
    keys = [k for k in ["mean", *summary.languages] if any(k in values for values in kinds.values())]
    figure = new_figure(9.6, 3.1)
    axes = clean(figure.subplots())
    width = 0.8 / len(kinds)
    tints = [CHOSEN, PALETTE[3], PALETTE[2], PALETTE[1]]
    for i, (kind, values) in enumerate(kinds.items()):
        heights = np.array([values.get(key, math.nan) for key in keys])
        x = np.arange(len(keys)) + (i - (len(kinds) - 1) / 2) * width
        axes.bar(x, heights - 0.5, width * 0.92, bottom=0.5, color=tints[i % 4], label=f"{kind} prompt")
        for place, height in zip(x, heights, strict=True):
            if np.isfinite(height):
                side = "bottom" if height >= 0.5 else "top"
                axes.text(place, height, f"{height:.2f}".lstrip("0"), ha="center", va=side, fontsize=7.5, color=INK)
    known = [v for values in kinds.values() for v in values.values() if math.isfinite(v)]
    axes.set_ylim(np.floor(min([0.5, *known]) * 10) / 10, 1.02)
    axes.axhline(0.5, color=MUTED, linewidth=1)
    axes.set_xticks(range(len(keys)), keys, color=INK)
    axes.set_ylabel("pairs ordered like the judge", color=MUTED)
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=9, labelcolor=INK)
    return inline(figure, "accuracy", "Reward accuracy by language and reward prompt")


def reward_distributions(pairs: Mapping[int, pd.DataFrame], languages: list[str]) -> str:
    """A ridge per language and a column per round (the last four): density of chosen and of rejected rewards, in nats.

    Args:
        pairs: round → columns `language`, `chosen_reward`, `rejected_reward`.
    """
    pairs = {t: frame for t, frame in sorted(pairs.items())[-4:] if len(frame)}
    if not pairs:
        return ""
    languages = [l for l in languages if any((frame["language"] == l).any() for frame in pairs.values())]
    both = np.concatenate([f[c].to_numpy(float) for f in pairs.values() for c in ("chosen_reward", "rejected_reward")])
    low, high = np.quantile(both[np.isfinite(both)], [0.002, 0.998]) if np.isfinite(both).any() else (0, 1)
    margin = 0.08 * (high - low) or 1.0
    grid = np.linspace(low - margin, high + margin, 110)
    figure = new_figure(max(5.0, min(10.2, 4.8 * len(pairs))), 1.1 + 0.48 * len(languages))
    for axes, (t, frame) in zip(
        figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0], pairs.items(), strict=True
    ):
        clean(axes, f"round {t}")
        for row, language in enumerate(reversed(languages)):
            own = frame[frame["language"] == language]
            _ridge(axes, grid, own["rejected_reward"], row, REJECTED)
            _ridge(axes, grid, own["chosen_reward"], row, CHOSEN)
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.set_yticks(range(len(languages)), languages[::-1], color=INK)
        axes.set_xlabel("reward, nats", color=MUTED)
        axes.set_ylim(-0.1, len(languages) + 0.15)
    handles = [_patch(CHOSEN, "chosen"), _patch(REJECTED, "rejected")]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False, fontsize=9, labelcolor=INK)
    return inline(figure, "rewards", "Distribution of chosen and rejected rewards by round and language")


def _ridge(axes: Axes, grid: np.ndarray, values: pd.Series, base: int, tint: str) -> None:
    """A density by Gaussian kernels of Silverman's width, scaled to its own peak, with a tick at the mean."""
    points = values.to_numpy(float)
    points = points[np.isfinite(points)][:5000]
    if not points.size:
        return
    width = max(1.06 * points.std() * points.size**-0.2, (grid[-1] - grid[0]) / 150)
    density = np.exp(-0.5 * ((grid[:, None] - points) / width) ** 2).sum(axis=1)
    top = base + 0.92 * density / density.max()
    seen = top > base + 0.004
    axes.fill(
        [grid[seen][0], *grid[seen], grid[seen][-1]], [base, *top[seen], base], color=tint, alpha=0.42, linewidth=0
    )
    axes.plot(grid[seen], top[seen], color=tint, linewidth=1.1, zorder=4)
    axes.plot([points.mean()] * 2, [base, base + 0.3], color=tint, linewidth=2.2, zorder=5)


def _patch(tint: str, label: str) -> Patch:
    return Patch(facecolor=tint, edgecolor=RULE, label=label)
