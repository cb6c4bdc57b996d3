"""What each job of a sweep has left, and the keys that tell jobs apart. A run that cannot be read says why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from icr.errors import RunError
from icr.rundir.reader import open_run
from icr.rundir.sweeps import Job, Status, Sweep

if TYPE_CHECKING:
    from icr.rundir.reader import Run
    from icr.rundir.results import RoundCounts

SEED = "seed"
"""The key whose values are replications, and never an axis."""
ABSENT = "–"
"""Stands for a key that a job was not given."""
SHORT = {
    "loss.alpha": "α",
    "loss.beta": "β",
    "sampling.n": "K",
    "data.prompts_per_language": "prompts",
    "optim.lr": "learning rate",
    "iterations": "rounds",
}
"""Keys by the names that the field has for them; others stay as they are."""
PAIRS = {
    "pairs/chosen_reward": "chosen_reward",
    "pairs/rejected_reward": "rejected_reward",
    "pairs/chosen_tokens": "chosen_tokens",
    "pairs/rejected_tokens": "rejected_tokens",
    "pairs/alpha_len": "alpha",
    "pairs/count": "pairs",
}
"""What the table of all figures has of a round's pairs, by the names of the log, and the fields of `RoundCounts`."""


def short(key: str) -> str:
    """How a key is called in plots and sentences: `"loss.alpha"` → `"α"`."""
    return SHORT.get(key, key)


@dataclass(frozen=True, eq=False)
class Entry:
    """A job, and its run.

    Attributes:
        job: as the sweep knows it.
        run: what it has left; None where that is nothing, or cannot be read.
        why: why it has no result; `""` where it has one.
    """

    job: Job
    run: Run | None
    why: str


@dataclass(frozen=True, eq=False)
class Jobs:
    """All jobs of a sweep, opened.

    Attributes:
        sweep: that they are of.
        entries: by the jobs' numbers.
    """

    sweep: Sweep
    entries: Sequence[Entry]

    @cached_property
    def axes(self) -> list[str]:
        """The swept keys other than the seed."""
        return [key for key in self.sweep.axes if key != SEED]

    @cached_property
    def languages(self) -> list[str]:
        """Codes, in the order in which runs name them."""
        return list(dict.fromkeys(l for _, run in self.runs for l in run.summary.languages))

    @property
    def runs(self) -> list[tuple[Job, Run]]:
        """The jobs whose run can be read."""
        return [(entry.job, entry.run) for entry in self.entries if entry.run]

    def value(self, job: Job, key: str) -> str:
        """What a job was given for a key."""
        return canonical(str(job.overrides.get(key, ABSENT)))

    def setting(self, job: Job) -> tuple[str, ...]:
        """The values of the axes: what jobs that differ in their seed alone have in common."""
        return tuple(self.value(job, key) for key in self.axes)

    def numeric(self, key: str) -> bool:
        """Whether every job was given a number for this key."""
        return all(math.isfinite(as_number(self.value(job, key))) for job in self.sweep.jobs)

    def values(self, key: str) -> list[str]:
        """The values of a key, ascending where they are numbers and else in the order of the jobs."""
        found = list(dict.fromkeys(self.value(job, key) for job in self.sweep.jobs))
        return sorted(found, key=as_number) if self.numeric(key) else found

    @cached_property
    def table(self) -> pd.DataFrame:
        """Every figure: job × swept keys × model × language × figure; a job without any has one row all the same.

        Columns are `job`, `folder`, `status`, the swept keys, `seed`, `model`, `kind`, `round`, `control`, `language`,
        `figure`, `value`. A key that is called as one of them gets ` (setting)` behind its name.
        """
        return pd.DataFrame([row for entry in self.entries for row in self._rows(entry)], columns=self._columns)

    @property
    def _columns(self) -> list[str]:
        return [*("job", "folder", "status"), *map(column, self.axes), *("seed", *MEASURED)]

    def _rows(self, entry: Entry) -> list[dict[str, object]]:
        job, run = entry.job, entry.run
        seed = job.overrides.get(SEED, run.summary.seed if run else None)
        shared: dict[str, object] = {"job": job.number, "folder": job.folder, "status": str(job.status), "seed": seed}
        shared |= {column(key): value for key, value in zip(self.axes, self.setting(job), strict=True)}
        figures = [*_model_figures(run), *_pair_figures(run)] if run else []
        return [shared | row for row in figures] or [shared]


MEASURED = ("model", "kind", "round", "control", "language", "figure", "value")
OWN = {"job", "folder", "status", "seed", *MEASURED}


def column(key: str) -> str:
    """The column of a swept key."""
    return f"{key} (setting)" if key in OWN else key


def canonical(value: str) -> str:
    """A number in one way of writing: `"1.0"` and `"1"` are one value. Words stay as they are."""
    number = as_number(value)
    if not math.isfinite(number):
        return value
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def as_number(value: str) -> float:
    """The number that a value is; NaN where it is none."""
    try:
        return float(value)
    except ValueError:
        return math.nan


def open_jobs(sweep: Sweep) -> Jobs:
    """Open the run of every job; none that is damaged stops the others."""
    return Jobs(sweep, [_entry(sweep, job) for job in sweep.jobs])


def _entry(sweep: Sweep, job: Job) -> Entry:
    folder = sweep.run(job)
    if not folder.is_dir():
        gone = f"its folder, {job.folder}, is gone" if job.status is Status.FINISHED else ""
        return Entry(job, None, gone or job.error or "it has left no folder")
    try:
        run = open_run(folder)
    except RunError as error:
        return Entry(job, None, job.error or str(error))
    if job.error or (job.status is Status.FINISHED and run.finished):
        return Entry(job, run, job.error)
    got = "its summary" if run.finished else f"round {run.rounds[-1]}" if run.rounds else "no round"
    return Entry(job, run, f"no word of its end; it got as far as {got}")


def _model_figures(run: Run) -> list[dict[str, object]]:
    return [
        {
            "model": model.name, "kind": model.kind, "round": model.round, "control": model.control,
            "language": language, "figure": figure, "value": value,
        }
        for model in run.summary.models
        for figure, by_language in model.figures.items()
        for language, value in by_language.items()
    ]  # fmt: skip


def _pair_figures(run: Run) -> list[dict[str, object]]:
    """Of the pairs that each round's model was trained on."""
    return [
        {
            "model": f"M{entry.round}", "kind": "pairs", "round": entry.round, "control": None,
            "language": language, "figure": name, "value": float(value),
        }
        for entry in run.summary.rounds
        for name, field in PAIRS.items()
        for language, value in _by_language(entry, field).items()
    ]  # fmt: skip


def _by_language(entry: RoundCounts, field: str) -> dict[str, float]:
    found: dict[str, float] = getattr(entry, field)
    return found
