"""What trackers beside the CSV files have in common: one axis over all rounds, and nothing logged twice."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from icr.metrics import ROUND, STEP
from icr.rundir import Summary, atomic
from icr.tracking.about import About
from icr.tracking.csv import CsvTracking, joined_metrics


@dataclass
class OneAxisTracking(ABC):
    """CSV files, and a tracker to whom a step is one of all rounds.

    A job that goes on in the same run directory repeats what it did since its last checkpoint, with the same figures;
    the tracker gets none of them twice. Of steps the CSV files tell what was logged, of the rest a list in `folder`.

    Attributes:
        directory: the run directory.
    """

    directory: Path

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where the tracker keeps its files in the run directory."""

    @abstractmethod
    def begin(self, run: About) -> None:
        """As `Tracker`."""

    @abstractmethod
    def finish(self, summary: Summary) -> None:
        """As `Tracker`."""

    @abstractmethod
    def abort(self) -> None:
        """As `Tracker`."""

    @abstractmethod
    def log_step(self, metrics: Mapping[str, float], round: int, step: int) -> None:
        """Log what is new of a step.

        Args:
            step: optimiser step over all rounds.
        """

    @abstractmethod
    def log_model(self, figures: Mapping[str, float], model: int) -> None:
        """Log what is new of a model's figures, at its place on the axis `model`."""

    def paired(self, round: int) -> None:
        """Called when the round's pairs are there, and before its first step; does nothing unless a tracker has use."""
        return

    def ended(self, round: int) -> None:
        """Called after the last step of a round's training; does nothing either."""
        return

    def loggers(self, round: int) -> Sequence[Logger]:
        """The round's CSV file, and the tracker's own."""
        logged = joined_metrics(self.directory)
        own = logged[logged[ROUND] == round].set_index(STEP)
        there = zip(own.index.tolist(), own.notna().to_numpy(), strict=True)
        seen = {step: set(own.columns[noted]) for step, noted in there}
        return [*CsvTracking(self.directory).loggers(round), RoundLogger(self, round, self.offset(round), seen)]

    def offset(self, round: int) -> int:
        """Optimiser steps of the rounds before."""
        steps = joined_metrics(self.directory).groupby(ROUND)[STEP].max() + 1
        return int(steps[steps.index < round].sum())

    def measured(self, figures: Mapping[str, float], model: int) -> None:
        """Log what could be measured, and is new."""
        new = self.unseen(f"{model} {name}" for name, value in figures.items() if math.isfinite(value))
        if new:
            self.log_model({name: figures[name] for name in (entry.split(" ", 1)[1] for entry in new)}, model)

    def unseen(self, names: Iterable[str]) -> list[str]:
        """Those of the names for which no attempt at this run has asked before."""
        path = self.folder / "logged.json"
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        new = [name for name in dict.fromkeys(names) if name not in set(before)]
        if new:
            path.parent.mkdir(exist_ok=True)
            atomic.replace(path, lambda temporary: atomic.write_json(temporary, [*before, *new]))
        return new


class RoundLogger(Logger):
    """Hands one round's metrics on, at steps over all rounds.

    Attributes:
        tracking: who gets them.
        round: number of the round.
        offset: optimiser steps of the rounds before.
        seen: what earlier attempts have logged, by step of this round.
    """

    def __init__(self, tracking: OneAxisTracking, round: int, offset: int, seen: Mapping[int, set[str]]):
        super().__init__()
        self.tracking, self.round, self.offset, self.seen = tracking, round, offset, seen

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.tracking.directory.name

    @property
    def version(self) -> int:
        """Number of the round."""
        return self.round

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log what no earlier attempt has logged of a step of this round."""
        if step is None:
            return
        seen = self.seen.get(step, set())
        if new := {name: float(value) for name, value in metrics.items() if name not in seen}:
            self.tracking.log_step(new, self.round, self.offset + step)

    def paired(self) -> None:
        """The round's pairs are there."""
        self.tracking.paired(self.round)

    def finalize(self, status: str) -> None:
        """The training has ended, one way or another."""
        self.tracking.ended(self.round)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the tracker has the run's own settings, without secrets."""
