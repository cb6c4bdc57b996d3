"""Runs that were made one by one, and sweeps, as one sweep: its axes are the settings in which the runs differ."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from icr.errors import RunError
from icr.report.sweep.jobs import canonical
from icr.rundir import atomic
from icr.rundir.reader import open_run
from icr.rundir.sweeps import Job, Status, Sweep, is_sweep, open_sweep

NOT_SETTINGS = ("run", "hydra", "logger", "controls", "cluster")
"""What names a run or shows it, and makes it no other."""


def as_sweep(directories: Sequence[Path], to: Path) -> Sweep:
    """The runs in these directories, and the jobs of those that hold a sweep, as a sweep in `to`, which is made.

    Each is given the settings, of those that any of them was given, in which they differ.

    Raises:
        RunError: a directory holds neither a run nor a sweep, or one is named twice.
    """
    found = [job for directory in directories for job in _jobs(directory)]
    folders = [folder.resolve() for folder, _ in found]
    if twice := [str(folder) for folder in folders if folders.count(folder) > 1]:
        raise RunError(f"{twice[0]} is named twice. Name each run once; a sweep's folder stands for all of its jobs.")
    settings = [_settings(folder, job) for folder, (_, job) in zip(folders, found, strict=True)]
    keys = _differing(settings)
    jobs = [
        replace(
            job,
            number=number,
            # Relative, so that the links of the page still lead there where all folders are moved together.
            folder=os.path.relpath(folder, to.resolve()),
            overrides={key: _written(own.values[key]) for key in keys if key in own.values},
        )
        for number, (folder, own, (_, job)) in enumerate(zip(folders, settings, found, strict=True))
    ]
    atomic.make_folder(to)
    return Sweep(to, jobs)


def _jobs(directory: Path) -> list[tuple[Path, Job]]:
    """Run directory and end of each job: of a sweep as it has kept them, of a run by its summary."""
    if is_sweep(directory):
        sweep = open_sweep(directory)
        return [(sweep.run(job), job) for job in sweep.jobs]
    run = open_run(directory)
    if run.measured:
        raise RunError(f"{directory} is a directory of icr evaluate: its leaderboard compares models. Give runs.")
    seconds = sum(run.summary.seconds.values()) if run.finished else None
    return [(directory, Job(0, "", {}, Status.FINISHED if run.finished else Status.MISSING, seconds=seconds))]


@dataclass(frozen=True)
class _Settings:
    """What a run was made with.

    Attributes:
        given: what was chosen or set for it, by key.
        values: every setting by its path, and the option of every group.
    """

    given: Mapping[str, Any]
    values: Mapping[str, Any]


def _settings(folder: Path, job: Job) -> _Settings:
    """As the run has recorded it; as the sweep has planned it where there is no run, or it cannot be read."""
    try:
        run = open_run(folder)
        given = _overrides(run.layout.overrides)
        return _Settings(given, {**given, **_flat(run.settings())})
    except RunError:
        return _Settings(job.overrides, job.overrides)


def _differing(settings: Sequence[_Settings]) -> list[str]:
    """Keys whose values differ: of those that were given, or of all where the runs have kept none of these."""
    given = dict.fromkeys(key for own in settings for key in sorted(own.given))
    keys = given or dict.fromkeys(key for own in settings for key in own.values)
    known = [own.values for own in settings if own.values]
    found = [key for key in keys if len({_written(values.get(key)) for values in known}) > 1]
    return [key for key in found if key.partition(".")[0] not in NOT_SETTINGS]


def _overrides(path: Path) -> dict[str, Any]:
    """`overrides.yaml` by key; empty without one."""
    try:
        lines = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else []
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged: it should hold a list of overrides.") from error
    pairs = [line.partition("=") for line in lines or [] if isinstance(line, str)]
    return {key.lstrip("+~"): value for key, _, value in pairs}


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by their paths; lists are values."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


def _written(value: Any) -> str:
    """A value as a command line has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return canonical(str(value))
