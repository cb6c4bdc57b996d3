"""Files and folders that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a temporary sibling of `path`, and move it there when it is whole.

    Raises:
        OSError: it cannot be written; the file is named, which not every library does.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.tmp")
    remove(temporary)
    try:
        write(temporary)
        move(temporary, path)
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
    finally:
        remove(temporary)


def move(whole: Path, path: Path) -> None:
    """Move a file or folder to `path`, in the place of what is there: its content is on the disk before its name is."""
    for item in (*whole.rglob("*"), whole):
        _sync(item)
    if path.is_dir():
        remove(path)
    os.replace(whole, path)
    _sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder, and those that it lies in, if they are not there."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        _sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write `value` as readable JSON."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        # Some network file systems cannot sync a folder, and keep names safe by other means.
        if not path.is_dir() or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)
