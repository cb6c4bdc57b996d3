"""Rewards and lengths of the pairs that the jobs were trained on: chosen beside rejected, a row per setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from icr.report.behind import Plot, extremes, minus
from icr.report.svg import CHOSEN, INK, MUTED, REJECTED, RULE, clean, inline, new_figure
from icr.report.sweep.jobs import column, short
from icr.report.sweep.sentences import named
from icr.report.sweep.series import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from icr.report.sweep.jobs import Jobs

ROWS = 40  # settings in a plot: beyond, the table of all figures has them
ROUNDS = 2  # the last so many
SIDES = (("chosen", CHOSEN), ("rejected", REJECTED))
QUANTITIES = {"reward": "reward, nats", "tokens": "length, tokens"}


def settings_of(jobs: Jobs) -> dict[tuple[str, ...], str]:
    """The settings of runs that can be read, in their order, at most `ROWS`, and how they are written."""
    found = dict.fromkeys(jobs.setting(job) for job, _ in jobs.runs)
    return {setting: named(jobs.axes, setting) for setting in list(found)[:ROWS]}


def row_names(jobs: Jobs) -> list[str]:
    """The settings as names of rows: `"α = 0.5"`, or the values alone where there are several keys."""
    settings = settings_of(jobs)
    if len(jobs.axes) < 2:
        return [label(text) for text in settings.values()]
    return [label(" · ".join(setting)) for setting in settings]


def rows_title(jobs: Jobs) -> str:
    """What the names of the rows are of, where they do not say so themselves."""
    return label(" · ".join(map(short, jobs.axes))) if len(jobs.axes) > 1 else ""


def rows_note(jobs: Jobs) -> str:
    """Says so where settings are left out of a plot."""
    total = len({jobs.setting(job) for job, _ in jobs.runs})
    return f" The first {ROWS} of {total} settings are drawn." if total > ROWS else ""


def pairs(jobs: Jobs) -> Plot:
    """Mean reward and length of chosen and rejected in each of the last rounds, over languages and seeds."""
    found = _means(jobs)
    if found.empty:
        return Plot("", "")
    settings = settings_of(jobs)
    rounds = sorted(found["round"].unique())[-ROUNDS:]
    quantities = [q for q in QUANTITIES if found["figure"].eq(f"pairs/chosen_{q}").any()]
    figure = new_figure(10.2, 0.9 + max(1, len(rounds)) * (0.5 + 0.3 * len(settings)))
    grid = figure.subplots(len(rounds), len(quantities), squeeze=False, sharey=True, sharex="col")
    for upper, t in zip(grid, rounds, strict=True):
        for axes, quantity in zip(upper, quantities, strict=True):
            clean(axes, f"round {t:.0f}" if len(rounds) > 1 else "")
            _rows(axes, found[found["round"] == t], quantity, list(settings))
            axes.set_yticks(range(len(settings)), row_names(jobs), color=INK)
            axes.set_ylim(len(settings) - 0.5, -0.5)
    figure.supylabel(rows_title(jobs), color=MUTED, fontsize=9.5)
    for axes, quantity in zip(grid[-1], quantities, strict=True):
        axes.set_xlabel(QUANTITIES[quantity], color=MUTED)
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=2, frameon=False, fontsize=9, labelcolor=INK)
    svg = inline(figure, "pairs", "Rewards and lengths of chosen and rejected responses in each setting")
    data = found.assign(setting=[settings.get(setting, "") for setting in found["setting"]])
    return Plot("pairs", svg, data, _says(found, settings, rounds[-1]) + rows_note(jobs))


def _means(jobs: Jobs) -> pd.DataFrame:
    """`setting`, `job`, `round`, `figure`, `value`: means over languages, of each job."""
    table = jobs.table
    names = [f"pairs/{side}_{quantity}" for side, _ in SIDES for quantity in QUANTITIES]
    own = table[table["figure"].isin(names) & table["value"].notna()]
    keys = [column(key) for key in jobs.axes]
    means = own.groupby(["job", *keys, "round", "figure"], sort=False)["value"].mean().reset_index()
    means["setting"] = [tuple(row) for row in means[keys].itertuples(index=False)]
    return means[["setting", "job", "round", "figure", "value"]]


def _rows(axes: Axes, found: pd.DataFrame, quantity: str, settings: Sequence[tuple[str, ...]]) -> None:
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    for row, setting in enumerate(settings):
        own = found[found["setting"] == setting]
        ends = []
        for side, tint in SIDES:
            values = own.loc[own["figure"] == f"pairs/{side}_{quantity}", "value"]
            if len(values):
                ends.append(float(values.mean()))
                name = side if row == 0 else None
                axes.plot([ends[-1]], [row], color=tint, marker="o", markersize=6, linestyle="", label=name, zorder=4)
                axes.plot(values, [row] * len(values), color=tint, marker="|", markersize=7, linestyle="", alpha=0.6)
        if len(ends) == 2:
            axes.plot(ends, [row, row], color=MUTED, linewidth=1.4)


def _says(found: pd.DataFrame, settings: dict[tuple[str, ...], str], last: float) -> str:
    """Where chosen stands furthest above rejected, in reward and in length."""
    own = found[found["round"] == last]
    means = own.groupby(["setting", "figure"], sort=False)["value"].mean()
    parts = []
    for quantity, unit in (("reward", "nats of reward"), ("tokens", "tokens")):
        gaps = {
            text: means.get((setting, f"pairs/chosen_{quantity}"), float("nan"))
            - means.get((setting, f"pairs/rejected_{quantity}"), float("nan"))
            for setting, text in settings.items()
        }
        known = [gap for gap in gaps.values() if gap == gap]
        if len(known) == 1:
            parts.append(minus(f"{known[0]:.2f} {unit}"))
        elif between := extremes(gaps, "{:.2f}", "at"):
            parts.append(f"in {unit}, {between}")
    return f"Chosen less rejected in round {last:.0f}: {'; '.join(parts)}." if parts else ""
