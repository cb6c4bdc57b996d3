"""The picture for who reads no further: the English reward in other languages, and what the last round has changed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from experiments.real_model.arms import PAIRS, Trained
from experiments.real_model.page import ACCURACY, LIKELIER, PROMPTS
from experiments.real_model.plot import WIDTH, draw_interval, gains_of, said
from icr.report.svg import INK, MUTED, PALETTE, RULE, clean, new_figure, save

CONTRAST = "mini_over_35"
"""Of answers that the first English pair has not seen the stronger model of."""


GAINED = {ACCURACY: "By log-ratio", LIKELIER: "By likelihood"}


def draw(diagnosis: pd.DataFrame, differences: pd.DataFrame, path: Path) -> None:
    """Write the picture: by language, and by model of the last round, English apart."""
    rewards = diagnosis[(diagnosis.pair == PAIRS[0]) & (diagnosis.contrast == CONTRAST) & (diagnosis.language != "en")]
    gained = {figure: _last(gains_of(differences, figure)) for figure in GAINED}
    figure = new_figure(WIDTH, 1.2 + 0.17 * max(5, *map(len, gained.values())))
    left, *others = figure.subplots(1, 1 + len(gained), width_ratios=(3, 4, 4))
    _rewards(left, rewards)
    for axes, (name, gains) in zip(others, gained.items(), strict=True):
        _gains(axes, gains, GAINED[name])
    others[-1].set_yticklabels([])
    save(figure, path)


def _last(gains: pd.DataFrame) -> pd.DataFrame:
    """Of models of the last round, on one contrast."""
    last = max((Trained.parse(name).model for name in gains.model), default="")
    return gains[(gains.contrast == CONTRAST) & gains.model.str.endswith(last)]


def _rewards(axes: Axes, rows: pd.DataFrame) -> None:
    clean(axes, "Reward accuracy")
    axes.grid(visible=False, axis="y")
    axes.axvline(0.5, color=RULE, linewidth=1.5)
    codes = list(dict.fromkeys(rows.language))
    for y, code in enumerate(codes):
        own = rows[(rows.language == code) & (rows.prompt == PROMPTS[0])]
        for row in own[own.by == "reward"].itertuples():
            draw_interval(axes, row, row.accuracy, y, PALETTE[0])
        free = own[(own.by != "reward") & ~own.by.str.startswith("minus ")].accuracy
        axes.plot([free.max()], [y], "|", color=INK, markersize=14, markeredgewidth=1.6)
    axes.set_yticks(range(len(codes)), codes)
    axes.set_ylim(len(codes) - 0.4, -0.6)
    axes.set_xlabel("bars: the best without a reward", fontsize=8, color=MUTED)


def _gains(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    clean(axes, title)
    axes.grid(visible=False, axis="y")
    axes.axvline(0, color=INK, linewidth=1)
    models = [Trained.parse(name) for name in rows.model]
    for y, (model, row) in enumerate(zip(models, rows.itertuples(), strict=True)):
        draw_interval(axes, row, row.value, y, MUTED if model.control else PALETTE[1])
    axes.set_yticks(range(len(models)), map(said, models), fontsize=8)
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.set_xlabel("points gained over its start", fontsize=8, color=MUTED)
