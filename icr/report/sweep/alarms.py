"""What may have gone wrong in the jobs of a sweep: chosen responses that become less likely, lengths that drift, other
languages, and repetition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from icr.metrics import (
    LEAST_CHOSEN_RATIO,
    MOST_LENGTH_DRIFT,
    MOST_OFF_LANGUAGE,
    MOST_REPEATING,
    Figure,
    Metric,
    RoundMetric,
)
from icr.report.behind import Plot, minus
from icr.report.svg import CHOSEN, INK, MUTED, REJECTED, RULE, clean, inline, new_figure
from icr.report.sweep.pairs import row_names, rows_note, rows_title, settings_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from icr.report.sweep.jobs import Jobs
    from icr.rundir.reader import Run


@dataclass(frozen=True)
class Alarm:
    """A figure that should stay within limits.

    Attributes:
        title: of its panel, with the unit.
        says: what it means to leave them, before the value.
        low, high: limits.
    """

    title: str
    says: str
    low: float = -math.inf
    high: float = math.inf

    def rings(self, value: float) -> bool:
        """Whether a value is beyond a limit."""
        return math.isfinite(value) and not self.low <= value <= self.high


FALLING = Alarm(
    "chosen log-prob, nats", "chosen responses became less likely than under the reference, nats", LEAST_CHOSEN_RATIO
)
DRIFT = Alarm(
    "length against the start",
    "answers are this many times as long as the start's",
    1 / MOST_LENGTH_DRIFT,
    MOST_LENGTH_DRIFT,
)
ASTRAY = Alarm("off-language, %", "answers in another language, %", high=100 * MOST_OFF_LANGUAGE)
CIRCLES = Alarm("repeating, %", "answers that run in circles, %", high=100 * MOST_REPEATING)
ALARMS = (FALLING, DRIFT, ASTRAY, CIRCLES)
LINES = 15  # told in words
COLUMNS = ["job", "setting", "alarm", "language", "value", "rings"]


def found(jobs: Jobs) -> pd.DataFrame:
    """Every figure that an alarm looks at: `job`, `setting`, `alarm`, `language`, `value`, `rings`.

    Of each language the last round's model counts, and on the fall of the chosen responses the round where it is worst.
    """
    rows = []
    for job, run in jobs.runs:
        for alarm, by_language in figures(run).items():
            for language, value in by_language.items():
                if math.isfinite(value):
                    rows.append((job.number, jobs.setting(job), alarm.title, language, value, alarm.rings(value)))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"rings": bool})


def figures(run: Run) -> dict[Alarm, Mapping[str, float]]:
    """By alarm and language, with `mean`; an alarm that the run has no figures for is left out."""
    summary = run.summary
    rounds = [model for model in summary.road if model.kind == "round"]
    starts = [model for model in summary.road if model.kind == "start"]
    by_alarm: dict[Alarm, Mapping[str, float]] = {FALLING: _falls(run)}
    if rounds:
        last = rounds[-1].figures
        if starts:
            name = Figure.TOKENS if Figure.TOKENS in last else Figure.CHARACTERS
            before = starts[-1].figures.get(name, {})
            by_alarm[DRIFT] = {l: v / before[l] for l, v in last.get(name, {}).items() if before.get(l, 0) > 0}
        by_alarm[ASTRAY] = last.get(Figure.OFF_LANGUAGE_RATE, {})
        by_alarm[CIRCLES] = last.get(Figure.REPETITION_RATE, {})
    sampled = summary.rounds[-1].diagnosis if summary.rounds else {}
    for alarm, metric in ((ASTRAY, RoundMetric.OFF_LANGUAGE), (CIRCLES, RoundMetric.REPEATING)):
        if not by_alarm.get(alarm):
            by_alarm[alarm] = {l: 100 * share for l, share in sampled.get(metric, {}).items()}
    return {alarm: by for alarm, by in by_alarm.items() if by}


def _falls(run: Run) -> dict[str, float]:
    """Mean log(π/π_ref) of the chosen responses in the last quarter of the round where it is lowest."""
    metrics, falls = run.metrics, {}
    names = {"mean": str(Metric.LOGPS_CHOSEN_RATIO)}
    names |= {l: Metric.LOGPS_CHOSEN_RATIO.of(l) for l in run.summary.languages}
    for language, name in names.items():
        if name not in metrics or "round" not in metrics:
            continue
        rounds = [own[name].dropna() for _, own in metrics.groupby("round")]
        ends = [float(values.iloc[-max(1, len(values) // 4) :].mean()) for values in rounds if len(values)]
        if ends:
            falls[language] = min(ends)
    return falls


def alarms(jobs: Jobs, data: pd.DataFrame) -> Plot:
    """A panel per alarm with its limits: a row per setting, a dot per job's mean, a tick per language."""
    titles = [alarm for alarm in ALARMS if data["alarm"].eq(alarm.title).any()]
    if not titles:
        return Plot("", "")
    settings = settings_of(jobs)
    figure = new_figure(10.2, 1.0 + 0.3 * len(settings))
    grid = figure.subplots(1, len(titles), squeeze=False, sharey=True)[0]
    for axes, alarm in zip(grid, titles, strict=True):
        clean(axes, alarm.title)
        _panel(axes, alarm, data[data["alarm"] == alarm.title], list(settings))
        axes.set_yticks(range(len(settings)), row_names(jobs), color=INK)
        axes.set_ylim(len(settings) - 0.5, -0.5)
    figure.supylabel(rows_title(jobs), color=MUTED, fontsize=9.5)
    svg = inline(figure, "alarms", "Figures that should stay within limits, in each setting")
    written = data.assign(setting=[settings.get(setting, "") for setting in data["setting"]])
    return Plot("alarms", svg, written, says(jobs, data) + rows_note(jobs))


def _panel(axes: Axes, alarm: Alarm, own: pd.DataFrame, settings: Sequence[tuple[str, ...]]) -> None:
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    for row, setting in enumerate(settings):
        mine = own[own["setting"] == setting]
        for bad, tint in ((False, CHOSEN), (True, REJECTED)):
            values = mine[mine["rings"] == bad]
            each, means = (values.loc[values["language"].eq("mean") == whole, "value"] for whole in (False, True))
            axes.plot(each, [row] * len(each), color=tint, marker="|", markersize=8, linestyle="", alpha=0.7)
            axes.plot(means, [row] * len(means), color=tint, marker="o", markersize=5, linestyle="", alpha=0.85)
    for limit in (alarm.low, alarm.high):
        if math.isfinite(limit):
            axes.axvline(limit, color=MUTED, linewidth=1, linestyle=(0, (3, 2)))
    axes.locator_params(axis="x", nbins=4)


def ringing(jobs: Jobs, data: pd.DataFrame) -> list[tuple[str, str]]:
    """Who, and what: each alarm of a setting, with the language and job where it is furthest beyond its limit."""
    lines = []
    settings = settings_of(jobs)
    ring = data[data["rings"]]
    for setting, text in settings.items():
        for alarm in ALARMS:
            own = ring[(ring["setting"] == setting) & (ring["alarm"] == alarm.title)].to_dict("records")
            if not own:
                continue
            worst = max(own, key=lambda row: abs(row["value"] - _middle(alarm)))
            codes = ", ".join(dict.fromkeys(str(row["language"]) for row in own if row["language"] != "mean"))
            where = f"in {codes}" if codes else "on average"
            value = minus(f"{worst['value']:.2f}")
            lines.append((text, f"{alarm.says} {where}: {value} at worst (job {worst['job']})"))
    more = len(lines) - LINES
    return [*lines[:LINES], ("", f"and {more} more, which the numbers of the plot have")] if more > 0 else lines


def _middle(alarm: Alarm) -> float:
    return 1.0 if alarm is DRIFT else 0.0


def says(jobs: Jobs, data: pd.DataFrame) -> str:
    """How many jobs ring, and by which alarm."""
    total = data["job"].nunique()
    ring = data[data["rings"]]
    if ring.empty:
        return (
            f"No alarm rings in {total} job{'' if total == 1 else 's'}: all figures are within their limits (dashed)."
        )
    counts = ring.groupby("alarm", sort=False)["job"].nunique()
    parts = ", ".join(f"{str(title).partition(',')[0]} in {count}" for title, count in counts.items())
    return f"Beyond the limits (dashed), in at least one language: {parts} of {total} jobs."
