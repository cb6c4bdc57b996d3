"""Metrics, results and samples in Weights & Biases, one W&B run per job, beside the CSV files."""

from __future__ import annotations

import hashlib
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from lightning.pytorch.loggers import Logger

from icr.errors import ConfigError
from icr.metrics import GLOBAL_STEP, ROUND, STEP
from icr.rundir import Run, Summary, open_run
from icr.rundir.layout import round_folder
from icr.tracking.csv import CsvTracking, joined_metrics

if TYPE_CHECKING:
    import wandb

SAMPLES = 20
"""Rows per language in each round's table of samples."""


class RoundLogger(Logger):
    """Logs one round's metrics to a W&B run, on one axis of steps over all rounds.

    Attributes:
        run: the W&B run.
        round: number of the round.
        offset: optimiser steps of the rounds before.
        logged: steps of this round that earlier attempts have logged. A training that goes on from a checkpoint repeats
            the last of them, with the same figures, and W&B does not get these twice.
    """

    def __init__(self, run: wandb.Run, round: int, offset: int, logged: int):
        super().__init__()
        self.run, self.round, self.offset, self.logged = run, round, offset, logged

    @property
    def name(self) -> str | None:
        """Name of the W&B run."""
        return self.run.name

    @property
    def version(self) -> str:
        """Id of the W&B run."""
        return self.run.id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log the metrics of a step of this round, unless an earlier attempt did."""
        if step is not None and step >= self.logged:
            self.run.log({**metrics, ROUND: self.round, GLOBAL_STEP: self.offset + step})

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing: settings may hold what is secret."""


@dataclass
class WandbTracking:
    """CSV files, and one W&B run per job. Config `logger=wandb`.

    A job that goes on in the same run directory goes on in the same W&B run. Metrics have the names of `icr.metrics`,
    and `global_step` as their axis.

    Raises:
        ConfigError: W&B does not let the run begin, such as without a login.
    """

    directory: Path
    """The run directory, in which W&B's own files lie."""
    project: str
    """W&B project."""
    group: str | None = None
    """Groups the jobs of a sweep."""
    offline: bool = False
    """Keep everything in the run directory; needs no account. `wandb sync` uploads it later."""

    def __post_init__(self) -> None:
        import wandb

        name = self.directory.resolve().name
        try:
            self.run = wandb.init(
                project=self.project,
                group=self.group,
                name=name,
                id=hashlib.sha256(str(self.directory.resolve()).encode()).hexdigest()[:12],
                dir=str(self.directory),
                mode="offline" if self.offline else "online",
                resume="never" if self.offline else "allow",
                settings=wandb.Settings(silent=True),
            )
        except wandb.errors.Error as error:
            raise ConfigError(
                f"logger=wandb cannot start: {error}. Log in with `wandb login`, or keep it local with "
                f"logger.offline=true."
            ) from error
        self.run.define_metric(GLOBAL_STEP)
        self.run.define_metric("*", step_metric=GLOBAL_STEP)
        self._csv = CsvTracking(self.directory)

    def loggers(self, round: int) -> Sequence[Logger]:
        """The round's CSV file and its part of the W&B run."""
        steps = joined_metrics(self.directory).groupby(ROUND)[STEP].max() + 1
        offset, logged = int(steps[steps.index < round].sum()), int(steps.get(round, 0))
        return [*self._csv.loggers(round), RoundLogger(self.run, round, offset, logged)]

    def finish(self, summary: Summary) -> None:
        """Log the results, the counts and a table of samples a round, and close the run."""
        import wandb

        figures = {
            f"{metric}/{model.label}/{language}": value
            for model in summary.models
            for metric, values in model.figures.items()
            for language, value in values.items()
        }
        self.run.summary.update(figures)
        run = open_run(self.directory)
        for entry in summary.rounds:
            samples = _samples(run, entry.round)
            self.run.log({f"{round_folder(entry.round)}/samples": wandb.Table(dataframe=samples)})
        self.run.finish()


def _samples(run: Run, round: int) -> pd.DataFrame:
    joined_by = ["id", "language", "k"]
    responses = run.table(round, "responses", [*joined_by, "prompt", "text"])
    rewards = run.table(round, "rewards", [*joined_by, "reward", "tokens", "usable"])
    if responses is None or rewards is None:
        return pd.DataFrame(columns=joined_by)
    return responses.merge(rewards, on=joined_by).groupby("language").head(SAMPLES)
