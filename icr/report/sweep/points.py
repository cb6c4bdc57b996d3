"""Means over seeds with their 95 % intervals: what every plot of a sweep over settings is made of."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from icr.metrics import Figure
from icr.report.sweep.jobs import column

if TYPE_CHECKING:
    import pandas as pd

    from icr.report.sweep.jobs import Jobs

Z = 1.959964  # of a 95 % interval
T = (
    *(12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139, 2.200985),
    *(2.178813, 2.160369, 2.144787, 2.131450),
)
"""Student's t at 0.975, for 1 to 15 degrees of freedom."""
LAST = "last"
"""Stands for each job's last model, where jobs have different numbers of rounds."""


@dataclass(frozen=True)
class Point:
    """A figure of one model at one setting.

    Attributes:
        setting: values of the axes.
        model: its name.
        kind: `start`, or `round`.
        language: code, or `mean`.
        seeds: the figure of each seed, by seed.
        error: standard error over prompts, of a single seed's evaluation; NaN where it is not known.
    """

    setting: tuple[str, ...]
    model: str
    kind: str
    language: str
    seeds: dict[str, float]
    error: float = math.nan

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(list(self.seeds.values())))

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval: over seeds, or of one seed over its prompts; NaN where none is known."""
        values = list(self.seeds.values())
        return half_width(values) if len(values) > 1 else Z * self.error

    @property
    def interval(self) -> str:
        """What the interval is of: `seeds`, `prompts`, or `none`."""
        return "seeds" if len(self.seeds) > 1 else "prompts" if math.isfinite(self.error) else "none"


def quantile(freedom: int) -> float:
    """Student's t at 0.975, to 1e-5: a table, and beyond it an expansion in 1/n (Abramowitz and Stegun, 26.7.5)."""
    if freedom <= len(T):
        return T[freedom - 1]
    z, n = Z, freedom
    terms = (
        (z**3 + z) / (4 * n),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3),
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4),
    )
    return z + sum(terms)


def half_width(values: Sequence[float]) -> float:
    """Half the 95 % interval of a mean by Student's t: `t · s / √n`; NaN for fewer than two values."""
    count = len(values)
    if count < 2:
        return math.nan
    return quantile(count - 1) * float(np.std(values, ddof=1)) / math.sqrt(count)


def points(jobs: Jobs, figure: str = Figure.WIN_RATE) -> list[Point]:
    """Each model of the method at each setting, in each language and on average.

    Jobs that differ in their seed alone are one setting's replications. Two jobs with one setting and one seed are
    taken as two replications as well, the second by its job's number.
    """
    keys = [column(key) for key in jobs.axes]
    table = jobs.table[jobs.table["kind"].isin(["start", "round"]) & jobs.table["value"].notna()]
    errors = _by_place(table[table["figure"] == f"{figure}_se"])
    grouped: dict[tuple[tuple[str, ...], str, str, str], list[Mapping[Hashable, Any]]] = {}
    for row in table[table["figure"] == figure].to_dict("records"):
        at = (tuple(row[key] for key in keys), row["model"], row["kind"], row["language"])
        grouped.setdefault(at, []).append(row)
    return [_point(*at, rows, errors) for at, rows in grouped.items()]


def _by_place(table: pd.DataFrame) -> dict[tuple[object, ...], float]:
    places = zip(table["job"], table["model"], table["language"], table["value"], strict=True)
    return {(job, model, language): float(value) for job, model, language, value in places}


def _point(
    setting: tuple[str, ...],
    model: str,
    kind: str,
    language: str,
    rows: Sequence[Mapping[Hashable, Any]],
    errors: dict[tuple[object, ...], float],
) -> Point:
    seeds: dict[str, float] = {}
    for row in rows:
        seed = str(row["seed"])
        seeds[seed if seed not in seeds else f"{seed} (job {row['job']})"] = float(row["value"])
    error = errors.get((rows[0]["job"], model, language), math.nan)
    return Point(setting, model, kind, language, seeds, error)


def last_models(jobs: Jobs) -> dict[tuple[str, ...], str]:
    """Name of the last round's model at each setting."""
    found: dict[tuple[str, ...], str] = {}
    for job, run in jobs.runs:
        rounds = [model for model in run.summary.road if model.kind == "round"]
        if rounds:
            found.setdefault(jobs.setting(job), rounds[-1].name)
    return found


def of_last(jobs: Jobs, found: Sequence[Point]) -> list[Point]:
    """The points of each setting's last model."""
    last = last_models(jobs)
    return [point for point in found if point.kind == "round" and last.get(point.setting) == point.model]


def last_name(jobs: Jobs) -> str:
    """What the last models are called together: `M1`, or `the last model` where they differ."""
    names = set(last_models(jobs).values())
    return names.pop() if len(names) == 1 else "the last model"


def intervals_note(found: Sequence[Point]) -> str:
    """Which intervals the points have, in a sentence."""
    several = [len(point.seeds) for point in found if point.interval == "seeds"]
    single = [point for point in found if point.interval == "prompts"]
    counts = f"{min(several)}" if several and min(several) == max(several) else ""
    seeds = counts or (f"{min(several)} to {max(several)}" if several else "")
    over_seeds = f"95 % intervals over {seeds} seeds (Student's t)" if several else ""
    over_prompts = "one seed's evaluation, 1.96 standard errors over its prompts" if single else ""
    if over_seeds and over_prompts:
        return f"Bars are {over_seeds}; where there is a single seed, of {over_prompts}."
    if over_seeds:
        return f"Bars are {over_seeds}."
    if over_prompts:
        return f"Bars are of {over_prompts}: another seed's training may move further."
    return "No intervals are known." if found else ""
