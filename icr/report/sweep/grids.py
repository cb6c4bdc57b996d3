"""The tables of a sweep: its jobs, for the page and the terminal alike, and what became of those without a result."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from icr.metrics import Figure
from icr.report.sweep.jobs import open_jobs
from icr.report.sweep.points import last_name, of_last, points
from icr.report.sweep.sentences import highest, lower_first, named
from icr.report.tables import Grid, display_name, number, to_rich
from icr.rundir.sweeps import Status

if TYPE_CHECKING:
    from icr.report.sweep.jobs import Entry, Jobs
    from icr.rundir.sweeps import Sweep

LONGEST = 60  # characters of a swept value in a table


def jobs_grid(jobs: Jobs, narrow: bool = False) -> Grid:
    """A line per job: what it was given, how it stands, its seconds, and the mean win rate of each model.

    Args:
        jobs: of the sweep.
        narrow: whether all that a job was given shares its first column, as a terminal wants it.
    """
    models, starts = _models(jobs), {m.name for _, run in jobs.runs for m in run.summary.road if m.kind == "start"}
    keys = [] if narrow else jobs.sweep.axes
    grid = Grid("Jobs", ["job", *keys, "status", "seconds", *(display_name(model) for model in models)])
    for entry in jobs.entries:
        job = entry.job
        seconds = "–" if job.seconds is None else f"{job.seconds:,.0f}"
        values = [clip(jobs.value(job, key)) for key in keys]
        rates = [number(_win_rate(entry, model)) for model in models]
        name = f"{job.number} · {given(jobs, entry)}" if narrow and jobs.sweep.axes else str(job.number)
        grid.rows.append([name, *values, str(job.status), seconds, *rates])
    first = len(keys) + 3
    for index, model in enumerate(models):
        found = {row: round(_win_rate(entry, model), 1) for row, entry in enumerate(jobs.entries)}
        known = {row: value for row, value in found.items() if math.isfinite(value)}
        if model not in starts and len(set(known.values())) > 1:
            grid.best |= {(row, first + index) for row, value in known.items() if value == max(known.values())}
    grid.note = "Win rates in percent, the mean over the target languages." if models else "No model was judged."
    return grid


def _models(jobs: Jobs) -> list[str]:
    """Names of the models that any job has judged, the starts first, then by round."""
    road = [model for _, run in jobs.runs for model in run.summary.road if model.figures.get(Figure.WIN_RATE)]
    return list(dict.fromkeys(m.name for m in sorted(road, key=lambda m: -1 if m.round is None else m.round)))


def _win_rate(entry: Entry, model: str) -> float:
    found = entry.run.summary.model(model) if entry.run else None
    return found.figure(Figure.WIN_RATE) if found else math.nan


def clip(text: str, length: int = LONGEST) -> str:
    """A text that fits a cell."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def given(jobs: Jobs, entry: Entry) -> str:
    """The swept keys of a job with their values, the seed too."""
    return named(jobs.sweep.axes, [clip(jobs.value(entry.job, key)) for key in jobs.sweep.axes])


def without_result(jobs: Jobs) -> list[tuple[int, str, str, str]]:
    """Number, setting, status and reason of each job that has no result, or none that can be read."""
    return [
        (
            entry.job.number,
            given(jobs, entry),
            str(entry.job.status),
            entry.why or "it left no reason",
        )
        for entry in jobs.entries
        if entry.why or entry.job.status is not Status.FINISHED or entry.run is None
    ]


def headline(jobs: Jobs) -> str:
    """The sweep in a sentence or two: how its jobs ended, and where the last models are highest."""
    counts = Counter(entry.job.status for entry in jobs.entries)
    total = len(jobs.entries)
    ended = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
    ended = f"all {next(iter(counts))}" if len(counts) == 1 and total > 1 else ended
    text = f"{total} job{'' if total == 1 else 's'}{', ' if ended else ''}{ended}."
    found = [point for point in of_last(jobs, points(jobs)) if point.language == "mean"]
    if found and jobs.axes:
        text += f" Mean win rate of {last_name(jobs)}, %: {lower_first(highest(found, jobs.axes))}"
    return text


def print_sweep(sweep: Sweep, console: Console | None = None) -> None:
    """Prints the table of the jobs, why some have no result, and the headline."""
    console = console or Console()
    jobs = open_jobs(sweep)
    console.print(to_rich(jobs_grid(jobs, narrow=True)))
    for job, setting, status, reason in without_result(jobs):
        console.print(Text(f"job {job} ({setting}) {status}: {reason}"))
    console.print(Text(headline(jobs)))
