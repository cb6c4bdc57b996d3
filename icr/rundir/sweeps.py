"""What a sweep leaves in its folder beside the runs of its jobs: the plan, and how each job ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from icr.errors import RunError
from icr.rundir import atomic

PLAN, ENDS = "sweep.json", ".jobs"
"""Names of the plan and of the folder of the jobs' ends, in the sweep's folder."""


class Status(StrEnum):
    """How a job stands."""

    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"
    MISSING = "missing"
    """Planned, and it left no word: not begun, still at work, or ended from outside with the whole sweep."""


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        number: from 0, in the order of the plan.
        folder: its run directory, relative to the sweep's folder.
        overrides: what it was given, by key, such as `{"loss.alpha": "0.5", "seed": "1"}`.
        status: how it stands.
        error: why it did not finish, in one paragraph; `""` where it did, and where no one knows.
        seconds: wall-clock time of its last attempt; None where it left no word.
        objective: what it returned: the last model's mean win rate, in %; None without a judge.
    """

    number: int
    folder: str
    overrides: Mapping[str, str]
    status: Status = Status.MISSING
    error: str = ""
    seconds: float | None = None
    objective: float | None = None


@dataclass(frozen=True)
class Sweep:
    """Jobs that belong together.

    Attributes:
        directory: the sweep's folder.
        jobs: by number.
    """

    directory: Path
    jobs: Sequence[Job]

    @property
    def axes(self) -> list[str]:
        """Keys whose values differ between jobs, in the order in which jobs name them."""
        keys = dict.fromkeys(key for job in self.jobs for key in job.overrides)
        return [key for key in keys if len({job.overrides.get(key) for job in self.jobs}) > 1]

    def run(self, job: Job) -> Path:
        """Run directory of one of its jobs."""
        return self.directory / job.folder


def is_sweep(path: Path) -> bool:
    """Whether a sweep has left its plan in this folder."""
    return (path / PLAN).is_file()


def write_plan(directory: Path, jobs: Sequence[Job]) -> None:
    """Keep what shall be run, in the order of the jobs' numbers."""
    document = {"jobs": [{"number": job.number, "folder": job.folder, "overrides": {**job.overrides}} for job in jobs]}
    atomic.replace(directory / PLAN, lambda path: atomic.write_json(path, document))


def write_end(directory: Path, job: Job) -> None:
    """Keep how a job ended."""
    atomic.replace(directory / ENDS / f"{job.number}.json", lambda path: atomic.write_json(path, asdict(job)))


def forget_end(directory: Path, job: Job) -> None:
    """A job begins again: until it ends, there is no word of it."""
    (directory / ENDS / f"{job.number}.json").unlink(missing_ok=True)


def open_sweep(directory: Path) -> Sweep:
    """Read the plan and the ends of a sweep's folder.

    Raises:
        RunError: it holds no sweep, or one of its files is damaged.
    """
    if not is_sweep(directory):
        raise RunError(f"{directory}: no sweep has left its plan ({PLAN}) here.")
    planned = [Job(**entry) for entry in _read(directory / PLAN)["jobs"]]
    return Sweep(directory, [as_it_stands(directory, job) for job in planned])


def as_it_stands(directory: Path, job: Job) -> Job:
    """A planned job with how it ended, if it has left word."""
    path = directory / ENDS / f"{job.number}.json"
    if not path.is_file():
        return job
    end = _read(path)
    ended = Job(**{**end, "status": Status(end["status"])})
    same = (ended.folder, ended.overrides) == (job.folder, job.overrides)
    return ended if same else job  # Another plan's job had this number.


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: damaged ({error}). Remove it and run the sweep's command again.") from error
