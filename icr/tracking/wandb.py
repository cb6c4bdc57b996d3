"""Where metrics go while a run trains: always CSV files in the run directory, and W&B where asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from icr.errors import ConfigError
from icr.rundir.layout import Layout, round_folder
from icr.rundir.results import Summary

SAMPLES = 20
"""Rows a language in each round's table of samples."""


class RoundLogger(WandbLogger):
    """Lightning's logger with W&B's own separator, by which its pages make sections."""

    LOGGER_JOIN_CHAR = "/"


class Tracker(Protocol):
    """Where metrics go."""

    def loggers(self, round_name: str) -> list[Logger]: ...

    def finish(self, summary: Summary) -> None: ...


class CsvTracking:
    """Metrics of each round under `<round>/metrics/version_<attempt>/metrics.csv`. Config `logger=csv`.

    Attributes:
        directory: the run directory.
    """

    def __init__(self, directory: Path):
        self.directory = directory

    def loggers(self, round_name: str) -> list[Logger]:
        """Lightning loggers of one round's training."""
        return [CSVLogger(self.directory / round_name, name="metrics", flush_logs_every_n_steps=1)]

    def finish(self, summary: Summary) -> None:
        """Nothing is left to do."""


class NoTracking:
    """Of a process that writes nothing."""

    def loggers(self, round_name: str) -> list[Logger]:
        """None."""
        return []


@dataclass
class WandbTracking:
    """The same, and one W&B run a job. Config `logger=wandb`.

    A job that goes on in the same run directory goes on in the same W&B run. Metrics of round `t` are under
    `round_<t>/…`.
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
                dir=self.directory,
                mode="offline" if self.offline else "online",
                resume="never" if self.offline else "allow",
                settings=wandb.Settings(silent=True),
            )
        except wandb.errors.Error as error:
            raise ConfigError(
                f"logger=wandb cannot start: {error}. Log in with `wandb login`, or keep it local with "
                f"logger.offline=true."
            ) from error
        self._csv = CsvTracking(self.directory)

    def loggers(self, round_name: str) -> list[Logger]:
        """Lightning loggers of one round's training."""
        return [*self._csv.loggers(round_name), RoundLogger(experiment=self.run, prefix=round_name)]

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
        for entry in summary.rounds:
            samples = self._samples(entry.round)
            self.run.log({f"{round_folder(entry.round)}/samples": wandb.Table(dataframe=samples)})
        self.run.finish()

    def _samples(self, round: int) -> pd.DataFrame:
        files = Layout(self.directory).round(round)
        responses = pd.read_parquet(files.responses, columns=["id", "language", "k", "prompt", "text"])
        rewards = pd.read_parquet(files.rewards, columns=["id", "language", "k", "reward", "tokens", "usable"])
        return responses.merge(rewards, on=["id", "language", "k"]).groupby("language").head(SAMPLES)
