"""Progress bars on long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(total: int, description: str) -> Iterator[Callable[[int], None]]:
    """A bar to call with the number of items done; silent where standard error is not a terminal."""
    with tqdm(total=total, desc=description, disable=None, leave=False, dynamic_ncols=True) as bar:
        yield bar.update
