"""One process at a time works on a run directory."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from icr.errors import RunError
from icr.rundir import atomic

LOCK, HOLDER = ".lock", ".lock.json"


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the run directory for as long as the context lasts.

    The lock is the operating system's, which takes it from a process that ends, however it ends: what a dead process
    has held can be taken over at once.

    Raises:
        RunError: another process holds it; its host and process id are named.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(
            f"{directory} is in use by {_holder(directory)}. Wait for it or stop it, or give another run.dir."
        ) from None
    try:
        mine = {"host": socket.gethostname(), "pid": os.getpid()}
        atomic.replace(directory / HOLDER, lambda temporary: atomic.write_json(temporary, mine))
        yield
    finally:
        (directory / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(directory: Path) -> str:
    try:
        holder = json.loads((directory / HOLDER).read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"  # It has just begun, or is about to end; or the file is damaged.
