"""Who makes a stage now: one process at a time, and no one waits for a dead one."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from icr.rundir import atomic

BEAT, LEASE = 20.0, 120.0
"""Seconds between two signs of life of a holder, and those after which one on another host counts as dead."""


class Claim:
    """The right to make one stage.

    On one host it is a lock of the operating system, which takes it from a process that ends, however it ends. Of a
    holder on another host no life can be seen: it renews its lease, and one that has stopped doing so is taken over.

    Args:
        path: of the claim; the lock and the holder's file have its name.
        run: the run directory for which the stage is made.
    """

    def __init__(self, path: Path, run: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_suffix(".lock"))
        self._file = path.with_suffix(".json")
        self._run = run
        self._done = threading.Event()

    def acquire(self, seconds: float) -> bool:
        """Try for so long; whether it is held now."""
        until = time.monotonic() + seconds
        try:
            self._lock.acquire(timeout=seconds)
        except Timeout:
            return False
        while self._leased_elsewhere():
            if time.monotonic() >= until:
                self._lock.release()
                return False
            time.sleep(min(1.0, seconds))
        self._sign()
        threading.Thread(target=self._keep_alive, daemon=True).start()
        return True

    def release(self) -> None:
        """Let others have it."""
        self._done.set()
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        self._lock.release()

    def holder(self) -> str:
        """Who holds it, in words."""
        found = self._read()
        return f"process {found['pid']} on {found['host']}, for {found['run']}" if found else "another process"

    def _leased_elsewhere(self) -> bool:
        found = self._read()
        if not found or found["host"] == socket.gethostname():
            return False
        with suppress(OSError):
            return time.time() - self._file.stat().st_mtime < LEASE
        return False

    def _read(self) -> dict[str, str] | None:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            return {name: str(found[name]) for name in ("host", "pid", "run")}
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _sign(self) -> None:
        mine = {"host": socket.gethostname(), "pid": os.getpid(), "run": str(self._run)}
        atomic.replace(self._file, lambda temporary: atomic.write_json(temporary, mine))

    def _keep_alive(self) -> None:
        while not self._done.wait(BEAT):
            with suppress(OSError):
                os.utime(self._file)
