"""Metrics as CSV files: one per attempt at a round, and `metrics.csv`, which joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch.loggers import CSVLogger, Logger

from icr.metrics import GLOBAL_STEP, ROUND, STEP


@dataclass
class CsvTracking:
    """Metrics of each round under `<round>/metrics/version_<attempt>/metrics.csv`. Config `logger=csv`.

    Attributes:
        directory: the run directory.
    """

    directory: Path

    def loggers(self, round_name: str) -> Sequence[Logger]:
        """A new file, for this attempt at the round."""
        return [CSVLogger(self.directory / round_name, name="metrics", flush_logs_every_n_steps=1)]

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Does nothing: the files are complete at every step."""


def write_metrics(directory: Path) -> None:
    """Write `metrics.csv` into a run directory, unless nothing has been logged in it."""
    joined = joined_metrics(directory)
    if len(joined):
        joined.to_csv(directory / "metrics.csv", index=False)


def joined_metrics(directory: Path) -> pd.DataFrame:
    """Metrics of all rounds of a run directory, a row per optimiser step; of a step logged twice the later counts.

    Returns:
        The columns `round`, `step` (which begins at 0 in every round), `global_step` (which goes on where the round
        before ended) and one per metric, sorted by the first two.
    """
    tables = [pd.DataFrame(columns=[ROUND, STEP], dtype=int)]
    for file in sorted(directory.glob("round_*/metrics/version_*/metrics.csv"), key=_attempt):
        if not file.stat().st_size:
            continue  # killed as it was begun
        table = pd.read_csv(file).dropna(subset=[STEP]).astype({STEP: int})
        table.insert(0, ROUND, _attempt(file)[0])
        tables.append(table)
    joined = pd.concat(tables).drop_duplicates([ROUND, STEP], keep="last").sort_values([ROUND, STEP])
    steps = joined.groupby(ROUND)[STEP].max() + 1
    joined.insert(2, GLOBAL_STEP, joined[STEP] + joined[ROUND].map(steps.cumsum() - steps))
    return joined.reset_index(drop=True)


def _attempt(file: Path) -> tuple[int, int]:
    return int(file.parts[-4].removeprefix("round_")), int(file.parts[-2].removeprefix("version_"))
