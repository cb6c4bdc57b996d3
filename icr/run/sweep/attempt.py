"""One job of a sweep, in the process of Hydra's launcher: how it ends is kept."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import yaml
from omegaconf import DictConfig

from icr.config.command import config_text
from icr.errors import Reported, one_line
from icr.run.begin import begin
from icr.run.sweep.apart import apart
from icr.run.sweep.plan import described, folder, local, surroundings
from icr.rundir import Layout
from icr.rundir.sweeps import Job, Status, as_it_stands, forget_end, write_end


def attempt(cfg: DictConfig) -> float | None:
    """Run the job, unless it has finished already. Returns its objective.

    Raises:
        Reported: it has failed or was killed, which is said and kept.
    """
    config = surroundings()
    directory, job = folder(config), described(config)
    before = as_it_stands(directory, job)
    if before.status is Status.FINISHED and _still_there(directory / job.folder, cfg):
        print(f"job {job.number}: finished already ({job.folder})", flush=True)
        return before.objective
    forget_end(directory, job)
    return apart(cfg, directory, job) if local(config) else recorded(cfg, directory, job)


def recorded(cfg: DictConfig, directory: Path, job: Job) -> float | None:
    """Run the job in this process, and keep how it ended. Ctrl-C leaves no word."""
    started = time.perf_counter()
    try:
        objective = begin(cfg)
    except Exception as error:
        reason = str(error.__cause__) if isinstance(error, Reported) else one_line(f"{type(error).__name__}: {error}")
        _keep(directory, job, started, status=Status.FAILED, error=reason)
        raise
    _keep(directory, job, started, status=Status.FINISHED, objective=objective)
    return objective


def _keep(directory: Path, job: Job, started: float, **end: object) -> None:
    from icr.launch.processes import environment  # Seconds of imports, which the run has made.

    if (among := environment()) and among.global_rank():
        return  # One process of the job speaks for all.
    write_end(directory, replace(job, seconds=time.perf_counter() - started, **end))  # type: ignore[arg-type]


def _still_there(run: Path, cfg: DictConfig) -> bool:
    """Whether the run directory holds a whole run with this configuration, by whatever path it is called."""
    layout = Layout(run)
    try:
        kept = layout.config.read_text(encoding="utf-8")
    except OSError:
        return False
    before, now = (yaml.safe_load(text) | {"run": None} for text in (kept, config_text(cfg)))
    return layout.summary.is_file() and bool(before == now)
