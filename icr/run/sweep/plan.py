"""What a sweep shall run, before it runs; and what came of it, in one table and on one page."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, open_dict

from icr.config.command import begun
from icr.errors import ConfigError, Reported, one_line
from icr.launch.parent import PARENT
from icr.rundir.sweeps import Job, Status, as_it_stands, open_sweep, write_end, write_plan

OWN = ("run.dir", "cluster")
"""What the jobs of a sweep share by its nature."""

LOCAL = ("basic_launcher.BasicLauncher", "joblib_launcher.JoblibLauncher")
"""Launchers that run jobs on this machine, and know no process but their own."""


def folder(config: DictConfig) -> Path:
    """The sweep's folder."""
    return Path(str(config.hydra.sweep.dir)).absolute()


def local(config: DictConfig) -> bool:
    """Whether the jobs run on this machine, and not by a cluster's scheduler."""
    return str(config.hydra.launcher._target_).endswith(LOCAL)


def composed(loader: ConfigLoader, config: DictConfig, overrides: Sequence[str], number: int) -> Job:
    """The job with these overrides, as Hydra's launchers will compose it.

    Raises:
        HydraException: the overrides do not compose.
    """
    cfg = loader.load_sweep_config(config, list(overrides))
    with open_dict(cfg):
        cfg.hydra.job.num = number
    return described(cfg)


def described(config: DictConfig) -> Job:
    """The job whose configuration this is, with Hydra's own node."""
    given = [override.partition("=") for override in config.hydra.overrides.task]
    overrides = {key: value for key, _, value in given if key not in OWN}
    return Job(int(config.hydra.job.num), str(config.hydra.sweep.subdir), overrides)


def surroundings() -> DictConfig:
    """The configuration of the job that runs in this process, with Hydra's own node."""
    return cast(DictConfig, HydraConfig.instance().cfg)


def begin_sweep(config: DictConfig) -> Path:
    """Make the sweep's folder, and have the processes of local jobs end with this one.

    Raises:
        ConfigError: torchrun has started this process among several.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ConfigError("torchrun cannot start a sweep: start each job with a command of its own.")
    directory = folder(config)
    directory.mkdir(parents=True, exist_ok=True)
    if local(config):
        os.environ[PARENT] = str(os.getpid())
    begun.set(True)
    return directory


def announce(directory: Path, jobs: Sequence[Job]) -> None:
    """Keep the plan, and say where the sweep is."""
    write_plan(directory, jobs)
    print(f"sweep    {directory}: {len(jobs)} jobs", flush=True)


def launch(launcher: Launcher, directory: Path, jobs: Sequence[Job], overrides: Sequence[Sequence[str]]) -> list[Job]:
    """Run these jobs, whose numbers follow each other. Returns how they stand.

    A job whose launcher knows of an error that the job itself could not keep has failed of it.
    """
    returns = launcher.launch(overrides, initial_job_idx=jobs[0].number)
    for job, returned in zip(jobs, returns, strict=True):
        error = returned._return_value  # The property prints before it raises.
        if returned.status is JobStatus.FAILED and as_it_stands(directory, job).status is Status.MISSING:
            reason = one_line(f"{type(error).__name__}: {error}")
            print(f"icr: job {job.number}: {reason}", file=sys.stderr)
            write_end(directory, replace(job, status=Status.FAILED, error=reason))
    return [as_it_stands(directory, job) for job in jobs]


def conclude(directory: Path) -> None:
    """Print the table and write the page.

    Raises:
        Reported: a job has not finished; the table says which.
    """
    from rich.console import Console

    from icr.report.sweep import print_sweep, write_sweep  # Seconds of imports.

    sweep = open_sweep(directory)
    page = write_sweep(sweep)
    print_sweep(sweep, Console())
    print(f"sweep    {directory}\npage     {page}", flush=True)
    left = [job for job in sweep.jobs if job.status is not Status.FINISHED]
    if left:
        print(f"{len(left)} of {len(sweep.jobs)} jobs have not finished. The same command on run.dir={directory} "
              f"runs them alone.", flush=True)  # fmt: skip
        raise Reported(str(directory))
