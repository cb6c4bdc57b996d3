"""Ways in which a file stops being what it was, and runs of the program in this process."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import icr.run.job
from icr.cli import main
from icr.rundir import content

SEED = int(os.environ.get("ICR_FAULTS_SEED", "0"))
"""Of the places at which files are cut or flipped."""

KINDS = ("truncated", "emptied", "flipped", "swapped", "deleted")


def spoil(path: Path, kind: str, other: Path) -> None:
    """Do to the file at `path` what `kind` says; where something stays, its time of change does, too.

    Args:
        other: a file of its kind, with another content.
    """
    whole, times, place = path.read_bytes(), path.stat(), random.Random(f"{SEED} {path.name} {kind}")
    if kind == "deleted":
        path.unlink()
        return
    if kind == "flipped" and whole:
        found = bytearray(whole)
        found[place.randrange(len(found))] ^= 1 << place.randrange(8)
        path.write_bytes(found)
    elif kind == "truncated":
        path.write_bytes(whole[: place.randrange(1, max(2, len(whole)))])
    else:
        path.write_bytes(other.read_bytes() if kind == "swapped" else b"")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@dataclass(frozen=True)
class Ended:
    """A command that ended: its exit code, and what it printed."""

    status: int
    output: str

    @property
    def advised(self) -> Path | None:
        """What it said to delete."""
        found = re.search(r"[Dd]elete ([^\s,]+?),? (?:and|it)", self.output)
        return Path(found[1]) if found and "/" in found[1] else None


def icr_command(*arguments: object) -> Ended:
    """A command of `icr` in this process, as if by a process of its own; only `icr report` draws the page."""
    content._digest.cache_clear()
    printed, kept, argv = io.StringIO(), logging.root.handlers[:], sys.argv[:]
    drawn, icr.run.job.write_report = icr.run.job.write_report, lambda directory: directory
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                status = main([str(argument) for argument in arguments])
            except SystemExit as error:
                status = error.code
    finally:
        icr.run.job.write_report, sys.argv[:], logging.root.handlers[:] = drawn, argv, kept
    return Ended(int(status or 0), printed.getvalue())


def state(directory: Path) -> dict[str, str]:
    """What a run amounts to: every output and the metrics by digest, and what it says of itself, without times."""
    found = {name: _digest(directory / name) for name in sorted(_results(directory))}
    summary = json.loads((directory / "summary.json").read_text())
    config = (directory / "config.yaml").read_text().replace(str(directory), "")
    return found | {"config.yaml": config, "summary.json": json.dumps({**summary, "seconds": None})}


def tree(directory: Path) -> dict[str, str]:
    """Digests of all files of a folder."""
    return {str(p.relative_to(directory)): _digest(p) for p in directory.rglob("*") if p.is_file()}


def _results(directory: Path) -> Iterator[str]:
    yield "metrics.csv"
    for entry in json.loads((directory / "manifest.json").read_text())["stages"].values():
        yield from entry["files"]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
