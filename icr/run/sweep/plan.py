"""What a sweep shall run, before it runs; and what came of it, in one table and on one page."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from icr.config.command import begun
from icr.errors import ConfigError, ICRError, Reported, one_line
from icr.launch.parent import PARENT
from icr.rundir.sweeps import Job, Status, as_it_stands, open_sweep, write_end, write_plan

OWN = ("run.dir", "cluster")
"""What the jobs of a sweep share by its nature."""

LOCAL = ("BasicLauncher", "JoblibLauncher")
"""Launchers that run jobs on this machine, and know no process but their own."""


def folder(config: DictConfig) -> Path:
    """The sweep's folder."""
    return Path(str(config.hydra.sweep.dir)).absolute()


def local(config: DictConfig) -> bool:
    """Whether the jobs run on this machine, and not by a cluster's scheduler."""
    return str(config.hydra.launcher._target_).rpartition(".")[2] in LOCAL


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
    """Make the sweep's folder.

    Raises:
        ConfigError: torchrun has started this process among several.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ConfigError("torchrun cannot start a sweep: start each job with a command of its own.")
    directory = folder(config)
    directory.mkdir(parents=True, exist_ok=True)
    begun.set(True)
    return directory


def announce(directory: Path, jobs: Sequence[Job]) -> None:
    """Keep the plan, and say where the sweep is."""
    write_plan(directory, jobs)
    print(f"sweep    {directory}: {len(jobs)} jobs", flush=True)


def launch(launcher: Launcher, directory: Path, jobs: Sequence[Job], overrides: Sequence[Sequence[str]]) -> list[Job]:
    """Run these jobs, whose numbers follow each other. Returns how they stand.

    A job whose launcher knows of an error that the job itself could not keep has failed of it. Where a launcher
    gives up, since a cluster's scheduler has ended a job, or the system a process in which joblib waits for one, that
    is said, and jobs stand as they are.
    """
    returns: Sequence[JobReturn] = []
    try:
        with _followed() if type(launcher).__name__ in LOCAL else nullcontext():
            returns = launcher.launch(overrides, initial_job_idx=jobs[0].number)
    except (ICRError, HydraException, OmegaConfBaseException):
        raise
    except Exception as error:
        if type(launcher).__name__ in LOCAL and not isinstance(error, BrokenExecutor):
            raise
        print(f"icr: {type(launcher).__name__}: {one_line(error)}", file=sys.stderr)
    for job, returned in zip(jobs, returns, strict=False):
        cause = returned._return_value  # The property prints before it raises.
        if returned.status is JobStatus.FAILED and as_it_stands(directory, job).status is Status.MISSING:
            reason = one_line(f"{type(cause).__name__}: {cause}")
            print(f"icr: job {job.number}: {reason}", file=sys.stderr)
            write_end(directory, replace(job, status=Status.FAILED, error=reason))
    return [as_it_stands(directory, job) for job in jobs]


@contextmanager
def _followed() -> Iterator[None]:
    """Have processes that begin meanwhile know this one, with which those of jobs end."""
    before = os.environ.get(PARENT)
    os.environ[PARENT] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[PARENT]
        if before is not None:
            os.environ[PARENT] = before


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
        counted = f"{len(left)} of {len(sweep.jobs)} jobs have not finished"
        print(f"{counted}. The same command on run.dir={directory} runs them alone.", flush=True)
        raise Reported(str(directory))
