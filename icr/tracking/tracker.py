"""What every tracker is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lightning.pytorch.loggers import Logger


class Tracker(Protocol):
    """Where metrics go while a run trains. Config group `logger`: a class that is called with the run directory.

    What is logged has the names of `icr.metrics`. No tracker is given the configuration, which may hold secrets.
    """

    def loggers(self, round_name: str) -> Sequence[Logger]:
        """Lightning loggers of one training; it logs at steps that begin at 0.

        Args:
            round_name: its folder in the run directory, such as `round_0`. The rounds before are done.
        """

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Called once, with the content of `summary.json`, when everything else is done."""


class NoTracking:
    """The tracker of a process that writes nothing: any but rank 0."""

    def loggers(self, round_name: str) -> Sequence[Logger]:
        """An empty list."""
        return []

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Does nothing."""
