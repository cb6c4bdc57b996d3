"""What every tracker is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from lightning.pytorch.loggers import Logger

from icr.rundir import Summary
from icr.tracking.about import About


class Tracker(Protocol):
    """Where metrics go while a run trains. Config group `logger`: a class that is called with the run directory.
    To make one is to check its settings, which is done with every configuration; `begin` begins.

    What is logged has the names of `icr.metrics`. A tracker sees the configuration in one form alone, that of
    `About.config`, in which secrets are hidden: what it writes may be read by many.
    """

    def begin(self, run: About) -> None:
        """Called once, before everything else.

        Raises:
            ConfigError: nothing can be logged where the settings say.
        """

    def loggers(self, round: int) -> Sequence[Logger]:
        """Lightning loggers of the training of one round; it logs at steps that begin at 0.

        Args:
            round: its number. The rounds before are done.
        """

    def measured(self, figures: Mapping[str, float], model: int) -> None:
        """Called when something has been measured of a model, also where an earlier attempt at the run had done so.

        Args:
            figures: by the names of `icr.metrics.Figure` and `accuracy`; NaN where there is none.
            model: its place on the axis `model`.
        """

    def finish(self, summary: Summary) -> None:
        """Called once, when everything else is done."""

    def abort(self) -> None:
        """Called in place of `finish` when the run ends otherwise."""


class NoTracking:
    """The tracker of a process that writes nothing: any but rank 0."""

    def begin(self, run: About) -> None:
        """Does nothing."""

    def loggers(self, round: int) -> Sequence[Logger]:
        """An empty list."""
        return []

    def measured(self, figures: Mapping[str, float], model: int) -> None:
        """Does nothing."""

    def finish(self, summary: Summary) -> None:
        """Does nothing."""

    def abort(self) -> None:
        """Does nothing."""
