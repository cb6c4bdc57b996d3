"""Metrics as CSV files: one per attempt at a round, and `metrics.csv`, which joins them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from lightning.pytorch.loggers import CSVLogger, Logger

from icr.metrics import GLOBAL_STEP, ROUND, STEP
from icr.rundir import Layout, Summary


@dataclass
class CsvTracking:
    """Metrics of each round under `<round>/metrics/version_<attempt>/metrics.csv`. Config `logger=csv`.

    Attributes:
        directory: the run directory.
    """

    directory: Path

    def loggers(self, round: int) -> Sequence[Logger]:
        """A new file, for this attempt at the round."""
        folder = Layout(self.directory).round(round).metrics
        return [CSVLogger(folder.parent, name=folder.name, flush_logs_every_n_steps=1)]

    def finish(self, summary: Summary) -> None:
        """Does nothing: the files are complete at every step."""


def write_metrics(directory: Path) -> None:
    """Write `metrics.csv` into a run directory, unless nothing has been logged in it."""
    joined = joined_metrics(directory)
    if len(joined):
        joined.to_csv(Layout(directory).metrics, index=False)


def joined_metrics(directory: Path) -> pd.DataFrame:
    """Metrics of all rounds of a run directory, a row per optimiser step; of a step logged twice the later counts.

    Returns:
        The columns `round`, `step` (which begins at 0 in every round), `global_step` (which goes on where the round
        before ended) and one per metric, sorted by the first two.
    """
    tables = [pd.DataFrame(columns=[ROUND, STEP], dtype=int)]
    layout = Layout(directory)
    for round in layout.rounds():
        for file in layout.round(round).metrics_files():
            if not file.stat().st_size:
                continue  # killed as it was begun
            table = pd.read_csv(file).dropna(subset=[STEP]).astype({STEP: int})
            table.insert(0, ROUND, round)
            tables.append(table)
    joined = pd.concat(tables).drop_duplicates([ROUND, STEP], keep="last").sort_values([ROUND, STEP])
    steps = joined.groupby(ROUND)[STEP].max() + 1
    joined.insert(2, GLOBAL_STEP, joined[STEP] + joined[ROUND].map(steps.cumsum() - steps))
    return joined.reset_index(drop=True)
