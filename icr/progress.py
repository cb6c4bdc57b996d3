"""Progress of long work: a bar on a terminal, and lines in the log where there is none."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

from tqdm import tqdm

from icr import distributed

log = logging.getLogger(__name__)

INTERVAL = 30.0
"""Seconds between two lines of progress, and before the first."""


class ProgressLines:
    """One line of progress per `INTERVAL`, through `logging`, from rank 0.

    A line comes with the first update after the interval, so that a batch that takes longer delays it; work that is
    done within the interval says nothing.
    """

    def __init__(self, total: int, description: str, *, items: str = "", done: int = 0):
        """The work begins now.

        Args:
            total: items of the work.
            items: what they are called, such as `steps`.
            done: how many of them were done before, which tells nothing about the speed.
        """
        self.total, self.description, self.items = total, description, items
        self._before, self._started = done, monotonic()
        self._spoke = self._started

    def at(self, done: int, note: str = "") -> None:
        """Say how far the work is, if the interval is over.

        Args:
            done: items that are done in all.
            note: a figure to show beside it, such as `loss 0.693`.
        """
        now = monotonic()
        if distributed.rank() or now - self._spoke < INTERVAL:
            return
        self._spoke = now
        share = f"{done:,} of {self.total:,}{self.items and ' '}{self.items} ({100 * done // max(1, self.total)} %)"
        log.info("%s: %s", self.description, ", ".join(filter(None, [share, note, self._left(done, now)])))

    def _left(self, done: int, now: float) -> str:
        new = done - self._before
        return f"{_duration((now - self._started) / new * (self.total - done))} left" if new else ""


class Update(Protocol):
    """Told how many items have been done since it was told before."""

    def __call__(self, count: int, note: str = "", /) -> None:
        """Move on by `count`; `note` is a figure to show beside it, such as `cost 0.12`."""


@contextmanager
def progress(total: int, description: str, *, shared: bool = True) -> Iterator[Update]:
    """A function to call with the number of items that have been done since the call before.

    It moves a bar where standard error is a terminal, and logs a line per `INTERVAL` elsewhere (`ProgressLines`).

    Args:
        shared: whether the processes of a run share the work, so that rank 0 shows its own share of `total`; else
            rank 0 alone does all of it.
    """
    mine = -(-total // distributed.size()) if shared else total
    if distributed.rank() == 0 and sys.stderr.isatty():
        with tqdm(total=mine, desc=description, leave=False, dynamic_ncols=True) as bar:

            def advance(count: int, note: str = "", /) -> None:
                bar.set_postfix_str(note, refresh=False)
                bar.update(count)

            yield advance
        return
    lines, done = ProgressLines(mine, description), 0

    def update(count: int, note: str = "", /) -> None:
        nonlocal done
        done += count
        lines.at(done, note)

    yield update


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
