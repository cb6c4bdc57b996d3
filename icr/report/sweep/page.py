"""`sweep.html`: all jobs of a sweep on one page that needs no network and trusts no text; and `sweep.csv`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from icr.report import pages
from icr.report.sweep import alarms, grids, pairs, points, progress, win_rates
from icr.report.sweep.jobs import SEED, Jobs, open_jobs, short
from icr.rundir import atomic

if TYPE_CHECKING:
    from icr.report.behind import Plot
    from icr.report.sweep.jobs import Entry
    from icr.rundir.sweeps import Sweep

PAGE, TABLE = "sweep.html", "sweep.csv"


def write_sweep(sweep: Sweep) -> Path:
    """Reads what the jobs have left, and writes `sweep.html` and `sweep.csv` into the sweep's folder, each in one move.

    Returns:
        The path of the page.
    """
    jobs = open_jobs(sweep)
    text = render(jobs)
    page, table = sweep.directory / PAGE, sweep.directory / TABLE
    atomic.replace(page, lambda path: path.write_text(text, encoding="utf-8"))
    atomic.replace(table, lambda path: jobs.table.to_csv(path, index=False))
    return page


def render(jobs: Jobs) -> str:
    """The page as text."""
    found = points.points(jobs)
    rings = alarms.found(jobs)
    return pages.render(
        "sweep/page.html",
        name=jobs.sweep.directory.resolve().name,
        table_file=TABLE,
        headline=grids.headline(jobs),
        swept=_swept(jobs),
        languages=jobs.languages,
        jobs=grids.jobs_grid(jobs),
        links=[_link(jobs, entry) for entry in jobs.entries],
        without=grids.without_result(jobs),
        over=_over(jobs, found),
        by_language=[plot for i, key in enumerate(jobs.axes) if (plot := win_rates.by_language(jobs, found, key, i))],
        pairs=pairs.pairs(jobs),
        training=progress.training(jobs),
        alarms=alarms.alarms(jobs, rings),
        ringing=alarms.ringing(jobs, rings),
    )


def _over(jobs: Jobs, found: list[points.Point]) -> list[tuple[str, Plot]]:
    """Title and plot of each swept key; of the models alone where only the seed is swept."""
    if not jobs.axes:
        plot = win_rates.by_seed(jobs, found)
        return [("Models", plot)] if plot else []
    titled = ((short(key), win_rates.over_key(jobs, found, key, i)) for i, key in enumerate(jobs.axes))
    return [(f"Over {title}", plot) for title, plot in titled if plot]


def _swept(jobs: Jobs) -> list[tuple[str, str]]:
    """Each swept key with its values."""
    keys = [*jobs.axes, *(key for key in jobs.sweep.axes if key == SEED)]
    return [(key, ", ".join(grids.clip(value) for value in jobs.values(key))) for key in keys]


def _link(jobs: Jobs, entry: Entry) -> str:
    """Where the job's page is, seen from the sweep's; `""` where it has none."""
    if entry.run is None or not entry.run.layout.report.is_file():
        return ""
    page = os.path.relpath(entry.run.layout.report, jobs.sweep.directory)
    return quote(Path(page).as_posix(), safe="/=,+")  # A relative path of ours; what a job is called may hold anything.
