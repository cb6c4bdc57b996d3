"""A job in a process of its own, so that what kills it leaves the sweep and its other jobs alone."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import IO, TextIO

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from icr.errors import Reported, RunError
from icr.launch.parent import PARENT, follow
from icr.rundir.sweeps import Job, Status, as_it_stands, is_sweep, open_sweep, write_end
from icr.terminal import Exit, complain

GRACE = 10.0
"""Seconds that a job has to end by itself after Ctrl-C."""


def apart(cfg: DictConfig, directory: Path, job: Job) -> float | None:
    """Start `icr.run.sweep.alone` with the job, and wait for its end. Returns the job's objective.

    Where jobs run side by side, each line that it prints begins with what the job is.

    Raises:
        Reported: it has failed or was killed, which is said and kept.
        KeyboardInterrupt: Ctrl-C, when the job has ended.
    """
    beside = os.environ.get(PARENT) != str(os.getpid())
    if beside:
        _follow()
    else:
        print(f"job {label(directory, job)}", flush=True)
    started = time.perf_counter()
    code = _wait(_start(cfg, beside), f"[{label(directory, job)}] ")
    end = as_it_stands(directory, job)
    if code == Exit.DONE:
        return end.objective
    if end.status is not Status.FAILED:
        status, error = _ended(code)
        write_end(directory, replace(job, status=status, error=error, seconds=time.perf_counter() - started))
        with suppress(RunError):  # With ICR_TRACEBACK it is raised, and there is nothing more to trace.
            complain(RunError(error), f"job {label(directory, job)}")
    raise Reported(job.folder)


def label(directory: Path, job: Job) -> str:
    """Number of a job, and what tells it from the others."""
    axes = open_sweep(directory).axes if is_sweep(directory) else list(job.overrides)
    return " ".join([str(job.number), *(f"{key}={job.overrides[key]}" for key in axes if key in job.overrides)])


def _start(cfg: DictConfig, piped: bool) -> subprocess.Popen[bytes]:
    """The job's process, which has been given its configuration."""
    stream = subprocess.PIPE if piped else None
    process = subprocess.Popen(
        [sys.executable, "-m", "icr.run.sweep.alone"],
        stdin=subprocess.PIPE,
        stdout=stream,
        stderr=stream,
        env={**os.environ, PARENT: str(os.getpid())},
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin:  # How it ended will say why.
        pickle.dump(_surroundings(cfg), process.stdin)
    return process


def _surroundings(cfg: DictConfig) -> tuple[DictConfig, ConfigSearchPath]:
    """The configuration with Hydra's, and where options are looked for.

    It has no types of its own: plugins make theirs anew as they load.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    own, its = OmegaConf.to_container(cfg), OmegaConf.to_container(HydraConfig.get())
    whole = OmegaConf.create({**own, "hydra": its})  # type: ignore[dict-item]
    OmegaConf.copy_cache(cfg, whole)  # Such as the time in the name of a folder.
    return whole, hydra.config_loader.get_search_path()


def _wait(process: subprocess.Popen[bytes], prefix: str) -> int:
    """The exit code of the process, whose lines are passed on."""
    pairs = [(pipe, out) for pipe, out in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)) if pipe]
    relays = [threading.Thread(target=_relay, args=(*pair, prefix), daemon=True) for pair in pairs]
    for relay in relays:
        relay.start()
    try:
        code = process.wait()
    except BaseException:
        _stop(process)
        raise
    for relay in relays:
        relay.join(GRACE)
    return code


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process. A terminal has told it of Ctrl-C, too; whoever else has interrupted this one has not."""
    for number, patience in ((None, 1.0), (signal.SIGINT, GRACE), (signal.SIGKILL, None)):
        if number:
            process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def _relay(lines: Iterable[bytes] | IO[bytes], out: TextIO, prefix: str) -> None:
    for line in lines:
        out.write(prefix + line.decode(errors="replace").rstrip("\n") + "\n")
        out.flush()


def _ended(code: int) -> tuple[Status, str]:
    """How a process ended that has left no word of its own."""
    number = signal.SIGINT if code == Exit.STOPPED else -code
    if number <= 0:
        return Status.FAILED, f"ended with exit code {code}; what it printed may say why"
    name = signal.Signals(number).name if number in set(signal.Signals) else "unknown"
    perhaps = ", perhaps out of memory" if number == signal.SIGKILL else ""
    return Status.KILLED, f"killed by signal {int(number)} ({name}){perhaps}"


@cache
def _follow() -> None:
    """Once in each of a launcher's processes: end with the one that has started it."""
    follow()
