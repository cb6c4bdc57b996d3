"""A rank ends with the process that has started it, also where that one could say nothing any more."""

from __future__ import annotations

import os
import threading
import time

PARENT = "ICR_PARENT"
"""Environment variable: id of the process that has started this one, where that is one of ours."""

PERIOD = 0.2
"""Seconds between two looks."""


def follow() -> None:
    """From now on, end this process at once when its parent has ended.

    A process whose parent is gone is given another one, by which it is known everywhere, and no process id is mistaken
    for that of a later process. The look is from a thread, so that a rank ends in the middle of a collective, too.
    """
    parent = int(os.environ.get(PARENT) or os.getppid())

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PERIOD)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
