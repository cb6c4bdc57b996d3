"""Metrics as CSV files: one per attempt at a round, and `metrics.csv`, which joins them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from lightning.pytorch.loggers import CSVLogger, Logger

from icr.errors import one_line
from icr.metrics import GLOBAL_STEP, ROUND, STEP
from icr.rundir import Layout, Summary, atomic
from icr.tracking.about import About

log = logging.getLogger(__name__)


@dataclass
class CsvTracking:
    """Metrics of each round under `<round>/metrics/version_<attempt>/metrics.csv`. Config `logger=csv`.

    Attributes:
        directory: the run directory.
    """

    directory: Path

    def begin(self, run: About) -> None:
        """Does nothing."""

    def loggers(self, round: int) -> Sequence[Logger]:
        """A new file, for this attempt at the round."""
        folder = Layout(self.directory).round(round).metrics
        return [CSVLogger(folder.parent, name=folder.name, flush_logs_every_n_steps=1)]

    def measured(self, figures: Mapping[str, float], model: int) -> None:
        """Does nothing: the figures of models are in the tables of their evaluations, and in `summary.json`."""

    def finish(self, summary: Summary) -> None:
        """Does nothing: the files are complete at every step."""

    def abort(self) -> None:
        """Does nothing."""


def write_metrics(directory: Path, replace: Callable[[Path, Callable[[Path], object]], None] = atomic.replace) -> None:
    """Write `metrics.csv` into a run directory, unless nothing has been logged in it.

    Args:
        replace: given a path and what writes there, has it written and moved into place.
    """
    joined = joined_metrics(directory)
    if len(joined):
        replace(Layout(directory).metrics, lambda path: joined.to_csv(path, index=False))


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
            table = _logged(file)
            tables.append(pd.concat([pd.Series(round, table.index, name=ROUND), table], axis=1))
    # Of each figure of a step the last that was logged: what is logged once per round has a line of its own.
    joined = pd.concat(tables).groupby([ROUND, STEP]).last()
    places = joined.index.to_frame(index=False)
    steps = places.groupby(ROUND)[STEP].max() + 1
    places[GLOBAL_STEP] = places[STEP] + places[ROUND].map(steps.cumsum() - steps)
    return pd.concat([places, joined.reset_index(drop=True)], axis=1)


def _logged(file: Path) -> pd.DataFrame:
    """What a log says, as far as it can be read: nothing is computed from it, and no run fails because of it."""
    nothing = pd.DataFrame({STEP: pd.Series(dtype=int)})
    if not file.stat().st_size:
        return nothing  # killed as it was begun
    try:
        table = pd.read_csv(file, on_bad_lines="skip").apply(pd.to_numeric, errors="coerce")
    except ValueError as error:
        log.warning("%s cannot be read, and is left out of the metrics (%s)", file, one_line(error))
        return nothing
    if STEP not in table:
        log.warning("%s has no column %s, and is left out of the metrics", file, STEP)
        return nothing
    known: pd.DataFrame = table[table[STEP].between(0, sys.maxsize)]
    return known.astype({STEP: int})
