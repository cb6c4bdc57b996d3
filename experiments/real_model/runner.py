"""Runs steps side by side, prints what it runs, and keeps minutes and peak memory of each."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from experiments.real_model.steps import Step

COLUMNS = ("step", "minutes", "peak_mib", "exit")


@dataclass
class Runner:
    """Runs what is not done yet.

    Attributes:
        home: where the attempts are written down, and the output of each step.
        jobs: steps at a time.
    """

    home: Path
    jobs: int

    def __post_init__(self) -> None:
        self._writing = threading.Lock()

    @property
    def attempts(self) -> Path:
        """A row for each time that a step was begun: minutes of wall-clock time, peak of resident memory, exit code."""
        return self.home / "attempts.csv"

    def run(self, steps: Sequence[Step]) -> None:
        """Run each step that is not done, the first ones first, as soon as what it needs is there.

        Raises:
            SystemExit: one has failed, or what one needs is not there; all others have been run.
        """
        due = [step for step in steps if step.due]
        running: dict[Future[int], Step] = {}
        failed = []
        with ThreadPoolExecutor(self.jobs) as pool:
            while True:
                ready = [step for step in due if all(path.is_file() for path in step.needs)]
                for step in ready[: self.jobs - len(running)]:
                    due.remove(step)
                    running[pool.submit(self._attempt, step)] = step
                if not running:
                    break
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    step = running.pop(ended)
                    if ended.result():
                        failed.append(f"{step.name}: {self._output(step)}")
        failed += [f"{step.name}: not begun, as what it needs is not there" for step in due]
        if failed:
            raise SystemExit("Not run whole; the same command goes on from here:\n  " + "\n  ".join(failed))

    def _attempt(self, step: Step) -> int:
        output = self._output(step)
        output.parent.mkdir(parents=True, exist_ok=True)
        step.done.parent.mkdir(parents=True, exist_ok=True)
        step.before()
        _say(" ".join(["$ icr", *step.words]))
        began = time.monotonic()
        with output.open("ab") as file:
            command = [sys.executable, "-m", "icr", *step.words]
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        minutes = (time.monotonic() - began) / 60
        # Exit code 1 of a diagnosis is a finding: a language is no-go.
        code = 0 if code == 1 and step.done.is_file() else code
        self._write_down(step, minutes, usage.ru_maxrss / 1024, code)
        _say(f"{step.name}: {minutes:.1f} min, {usage.ru_maxrss / 2**20:.1f} GiB, exit {code}")
        return code

    def _output(self, step: Step) -> Path:
        return self.home / "output" / f"{step.name.replace(', ', '_').replace(' ', '_')}.txt"

    def _write_down(self, step: Step, minutes: float, peak: float, code: int) -> None:
        with self._writing:
            new = not self.attempts.is_file()
            with self.attempts.open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if new:
                    writer.writerow(COLUMNS)
                writer.writerow([step.name, f"{minutes:.2f}", f"{peak:.0f}", code])


def _say(line: str) -> None:
    """Print it in one piece: of two that are printed at once, the pieces would mix."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
