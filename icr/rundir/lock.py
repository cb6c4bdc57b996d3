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

PATIENCE = 10.0
"""Seconds in which the ranks of a run that was killed have to end: they follow it by themselves."""


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the run directory for as long as the context lasts.

    The lock is the operating system's, which takes it from a process that ends, however it ends: what a dead process
    has held can be taken over at once, when its ranks have ended, too. A directory in which nothing was left is removed
    in the end: its command was refused.

    Raises:
        RunError: another process holds it; its host and process id are named.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(blocking=False)
        _await_ranks(directory)
    except Timeout:
        lock.release()
        raise RunError(
            f"{directory} is in use by {_holder(directory)}. Wait for it or stop it, or give another run.dir."
        ) from None
    try:
        mine = {"host": socket.gethostname(), "pid": os.getpid()}
        atomic.replace(directory / HOLDER, lambda temporary: atomic.write_json(temporary, mine))
        yield
    finally:
        (directory / HOLDER).unlink(missing_ok=True)
        _remove_unused(directory)
        lock.release()


@contextmanager
def held_by_rank(directory: Path, rank: int) -> Iterator[None]:
    """Hold a run directory that another process holds, for as long as this rank of it works there."""
    path = _of_rank(directory, rank)
    with FileLock(path):
        try:
            yield
        finally:
            path.unlink()


def _remove_unused(directory: Path) -> None:
    if [path.name for path in directory.iterdir()] == [LOCK] and not directory.samefile(Path.cwd()):
        (directory / LOCK).unlink()
        directory.rmdir()


def _of_rank(directory: Path, rank: int | str) -> Path:
    return directory / f"{LOCK}.rank{rank}"


def _await_ranks(directory: Path) -> None:
    """Until no rank of a killed run works in the directory. Under the directory's own lock, none can begin to."""
    for path in directory.glob(_of_rank(directory, "*").name):
        with FileLock(path, timeout=PATIENCE):
            path.unlink()


def _holder(directory: Path) -> str:
    try:
        holder = json.loads((directory / HOLDER).read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"  # It has just begun, or is about to end; or the file is damaged.
