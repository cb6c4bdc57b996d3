"""Sweeps of tiny runs, as commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from tests.e2e.conftest import ROOT, environment

TINY = [
    *("langs.codes=[en,sw]", "data.prompts_per_language=4", "iterations=1", "trainer.max_steps=1", "controls=none"),
    *("sampling.n=2", "sampling.max_new_tokens=16", "reward.keep_truncated=true"),
]
UNJUDGED = [*TINY, "evaluation=none"]
JUDGED = [*TINY, "evaluation.prompts.prompts_per_language=4", "evaluation.reward_prompts={}"]
TWO = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


class Command:
    """`icr run -m` in a folder, begun."""

    def __init__(self, folder: Path, arguments: Sequence[str]):
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "icr.run", "-m", f"run.dir={folder}", *arguments],
            cwd=ROOT,
            env=environment(),
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # A shell's background jobs ignore it.
        )

    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def ended(self, seconds: float = 300) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def until(self, happened: Callable[[], object], seconds: float = 300) -> None:
        """Wait for what it does."""
        started = time.monotonic()
        while not happened():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() - started < seconds, self.output()
            time.sleep(0.02)

    def kill_job(self, number: int, left: str) -> None:
        """SIGKILL the process of a job, as soon as its run directory has this file or folder."""
        self.until(lambda: [*self.folder.glob(f"{number}_*/{left}")])
        holder = next(self.folder.glob(f"{number}_*/.lock.json"))
        os.kill(json.loads(holder.read_text())["pid"], signal.SIGKILL)

    def kill_holder(self, number: int) -> None:
        """SIGKILL the process of a job, as soon as it holds the right to make a stage for all."""
        self.until(lambda: self._held_by(number))
        os.kill(self._held_by(number)[0], signal.SIGKILL)

    def _held_by(self, number: int) -> list[int]:
        """Process of a job that makes a stage for all; none if it makes none."""
        found = []
        for path in Path(os.environ["ICR_CACHE"]).glob("stages/claims/*.json"):
            with suppress(OSError):  # It is done with that stage.
                holder = json.loads(path.read_text())
                found += [int(holder["pid"])] if f"{self.folder}/{number}_" in holder["run"] else []
        return found

    def jobs(self) -> list[psutil.Process]:
        """Processes of its jobs."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in family if "icr.run.sweep.alone" in " ".join(one.cmdline())]


def ran(output: str) -> set[int]:
    """Numbers of the jobs of which a sweep with several at a time has passed on a line."""
    return {int(number) for number in re.findall(r"^\[(\d+)", output, re.MULTILINE)}
