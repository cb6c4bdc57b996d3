"""What files hold, by size and SHA-256: whatever happened to them since they were written is noticed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias, TypedDict


class Content(TypedDict):
    """What a file holds: its size, and its SHA-256 as hexadecimal digits."""

    bytes: int
    sha256: str


Files: TypeAlias = dict[str, Content]
"""Files by their paths below a run directory."""


def of_output(directory: Path, output: Path) -> Files:
    """What a file holds, or every file of a folder, by their paths below `directory`."""
    files = sorted(path for path in output.rglob("*") if path.is_file()) if output.is_dir() else [output]
    return dict(zip([str(path.relative_to(directory)) for path in files], _all(files), strict=True))


def damage(directory: Path, files: Mapping[str, Content]) -> str | None:
    """The first file that does not hold what it did, in words that follow its path; None where all do.

    Sizes are compared first, so that what was cut short is named at once. A file is read once per process, unless its
    size or its times change.
    """
    for name, wrote in files.items():
        path = directory / name
        if not path.is_file():
            return f"{path} is missing"
        if (size := path.stat().st_size) != wrote["bytes"]:
            return f"{path} is damaged: it has {size:,} bytes, where {wrote['bytes']:,} were written"
    found = _all([directory / name for name in files])
    for (name, wrote), holds in zip(files.items(), found, strict=True):
        if holds != wrote:
            return f"{directory / name} is damaged: its content is not what was written"
    return None


def digest(path: Path) -> bytes:
    """SHA-256 of a file, which is read once per process unless it changes."""
    found = path.stat()
    return _digest(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _all(paths: list[Path]) -> list[Content]:
    # Hashing lets other threads work: the shards of a large model are read side by side.
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda path: Content(bytes=path.stat().st_size, sha256=digest(path).hex()), paths))


@functools.cache
def _digest(path: Path, inode: int, size: int, modified: int, changed: int) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
