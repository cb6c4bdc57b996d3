"""Parts of a table that is not complete: finished rows, each part in a file whose name ends with its digest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from icr.rundir import atomic, content
from icr.rundir.tables import Table

log = logging.getLogger(__name__)


class OfPrompt(Protocol):
    """A row that belongs to a prompt: a response, or its reward."""

    @property
    def id(self) -> str: ...

    @property
    def language(self) -> str: ...


PromptRow = TypeVar("PromptRow", bound=OfPrompt)


def read(table: Table[PromptRow], folder: Path) -> dict[tuple[str, str], list[PromptRow]]:
    """The rows of all parts, by prompt. A part that is not what its name says is removed, and said so."""
    rows: dict[tuple[str, str], list[PromptRow]] = {}
    damaged = 0
    for part in sorted(folder.glob("*.parquet")):
        if part.stem.endswith(content.digest(part).hex()):
            add(rows, table.read(part))
        else:
            part.unlink()
            damaged += 1
    if damaged:
        log.warning("%s: %d damaged parts are removed, and made again", folder, damaged)
    return rows


def write(table: Table[PromptRow], folder: Path, number: int, rows: Sequence[PromptRow]) -> None:
    """Write a part; `number` orders it among the others."""
    temporary = folder / f".{number:08d}.tmp"
    table.write(temporary, rows)
    atomic.move(temporary, folder / f"{number:08d}-{content.digest(temporary).hex()}.parquet")


def add(rows: dict[tuple[str, str], list[PromptRow]], made: Sequence[PromptRow]) -> None:
    """Put rows with those of their prompts."""
    for row in made:
        rows.setdefault((row.id, row.language), []).append(row)
