"""What every tracker is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lightning.pytorch.loggers import Logger

from icr.rundir import Summary


class Tracker(Protocol):
    """Where metrics go while a run trains. Config group `logger`: a class that is called with the run directory.

    What is logged has the names of `icr.metrics`. No tracker is given the configuration, which may hold secrets.
    """

    def loggers(self, round: int) -> Sequence[Logger]:
        """Lightning loggers of the training of one round; it logs at steps that begin at 0.

        Args:
            round: its number. The rounds before are done.
        """

    def finish(self, summary: Summary) -> None:
        """Called once, when everything else is done."""


class NoTracking:
    """The tracker of a process that writes nothing: any but rank 0."""

    def loggers(self, round: int) -> Sequence[Logger]:
        """An empty list."""
        return []

    def finish(self, summary: Summary) -> None:
        """Does nothing."""
