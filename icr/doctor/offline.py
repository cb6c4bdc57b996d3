"""A plan needs no network, and does not wait for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants


@contextmanager
def offline() -> Iterator[None]:
    """Within it, models of a hub are those in this machine's cache, as with `HF_HUB_OFFLINE=1`."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
