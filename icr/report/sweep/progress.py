"""Training curves of all jobs in the same panels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from icr.metrics import Metric
from icr.report.behind import Plot, minus
from icr.report.curves import binned, end_to_end, logged
from icr.report.svg import CHOSEN, INK, MUTED, clean, inline, new_figure
from icr.report.sweep.jobs import short
from icr.report.sweep.series import TINTS, label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from icr.report.sweep.jobs import Jobs

CURVES = {
    "loss": Metric.LOSS,
    "reward margin, nats": Metric.REWARDS_MARGINS,
    "chosen log-ratio, nats": Metric.LOGPS_CHOSEN_RATIO,
}
POINTS = 3600  # drawn a panel, of all jobs together: the page carries each of them twice
SEQUENCE = ["#4a6fd0", "#2e97b7", "#2fa678", "#8fae3a", "#dba02e", "#d9602c"]
"""For numbers, ascending: to be seen on white and on black."""


def training(jobs: Jobs) -> Plot:
    """Loss, reward margin and log(π/π_ref) of the chosen over the optimiser steps: a line per job, in the colour of its
    value of the first key.
    """
    runs = [(job, run) for job, run in jobs.runs if len(run.metrics)]
    names = [name for name in CURVES.values() if any(logged(run.metrics, name) for _, run in runs)]
    if not names:
        return Plot("", "")
    key = jobs.axes[0] if jobs.axes else ""
    tints = _tints(jobs, key)
    points = max(12, min(160, POINTS // len(runs)))
    figure = new_figure(10.2, 3.1)
    grid = figure.subplots(1, len(names), squeeze=False)[0]
    rows: list[pd.DataFrame] = []
    ends: dict[str, dict[int, float]] = {name: {} for name in names}
    for axes, name in zip(grid, names, strict=True):
        clean(axes, next(title for title, metric in CURVES.items() if metric == name))
        for job, run in runs:
            if not logged(run.metrics, name):
                continue
            steps, values = binned(end_to_end(run.metrics)[0], run.metrics[name], points)
            axes.plot(steps, values, color=tints[jobs.value(job, key)], linewidth=1.3, alpha=0.75)
            rows.append(pd.DataFrame({"job": job.number, "metric": str(name), "step": steps, "value": values}))
            ends[name][job.number] = float(values[-max(1, len(values) // 4) :].mean())
        axes.locator_params(axis="y", nbins=5)
        axes.locator_params(axis="x", nbins=5, integer=True)
    figure.supxlabel("optimiser step, all rounds", color=MUTED, fontsize=9.5)
    drawn = {jobs.value(job, key) for job, _ in runs}
    _key_legend(figure, key, {value: tint for value, tint in tints.items() if value in drawn})
    svg = inline(figure, "training", "Training curves of all jobs")
    return Plot("training", svg, pd.concat(rows), _ends(ends))


def _tints(jobs: Jobs, key: str) -> dict[str, str]:
    """A colour per value of the key: from dark to light for numbers."""
    if not key:
        return dict.fromkeys({jobs.value(job, key) for job in jobs.sweep.jobs}, CHOSEN)
    values = jobs.values(key)
    if jobs.numeric(key) and len(values) > 2:
        at = np.linspace(0, len(SEQUENCE) - 1, len(values)).round().astype(int)
        return {value: SEQUENCE[i] for value, i in zip(values, at, strict=True)}
    return {value: TINTS[i % len(TINTS)] for i, value in enumerate(values)}


def _key_legend(figure: Figure, key: str, tints: Mapping[str, str]) -> None:
    if len(tints) > 1:
        names = {label(f"{short(key)} = {value}"): tint for value, tint in tints.items()}
        handles = [Line2D([], [], color=tint, linewidth=2.2, label=name) for name, tint in names.items()]
        figure.legend(
            handles=handles[:12], loc="outside upper left", ncols=6, frameon=False, fontsize=9, labelcolor=INK
        )


def _ends(ends: Mapping[str, Mapping[int, float]]) -> str:
    """Which jobs end highest and lowest, of each metric, over the last quarter of what is drawn."""
    parts = []
    for title, name in CURVES.items():
        found = ends.get(name, {})
        if not found:
            continue
        top, low = max(found, key=found.__getitem__), min(found, key=found.__getitem__)
        if top == low:
            parts.append(f"{title}: {found[top]:.3g}")
        else:
            parts.append(f"{title}: {found[low]:.3g} (job {low}) to {found[top]:.3g} (job {top})")
    return minus(f"In the last quarter, {'; '.join(parts)}.")
