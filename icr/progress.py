"""Progress bars on long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from icr import distributed


@contextmanager
def progress(total: int, description: str) -> Iterator[Callable[[int], object]]:
    """A bar to call with the number of items done; silent where standard error is not a terminal.

    In a run of several processes, rank 0 shows its own share of `total`.
    """
    hidden = True if distributed.rank() else None
    mine = -(-total // distributed.size())
    with tqdm(total=mine, desc=description, disable=hidden, leave=False, dynamic_ncols=True) as bar:
        yield bar.update
