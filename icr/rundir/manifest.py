"""`manifest.json`: which stages are complete, under which keys, and what their outputs hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from icr.errors import RunError
from icr.rundir import content, sealed
from icr.rundir.content import Files
from icr.rundir.layout import FORMAT, check_format


class Entry(TypedDict):
    """A stage whose output is in place.

    Attributes:
        output: its path below the run directory.
        key: `icr.rundir.key.Key` as JSON.
        seconds: wall-clock time in which it was made.
        finished: when, in UTC.
        files: what its files hold.
        environment: what its content depends on besides its key (`icr.rundir.cache.environment`).
        rows: of a table by prompt, `base` and `n` of `icr.rundir.key.Rows`.
        shared: when it was taken from the cache, in UTC; not there of what the run has made itself.
    """

    output: str
    key: dict[str, Any]
    seconds: float
    finished: str
    files: Files
    environment: NotRequired[dict[str, str]]
    rows: NotRequired[dict[str, Any]]
    shared: NotRequired[str]


class Manifest(TypedDict):
    """What `manifest.json` says.

    Attributes:
        format: of the run directory.
        stages: those that are complete.
        lost: those whose output is gone, until it is made again: what it was decides whether later stages stand.
        documents: what the files hold that are no stage's output: the configuration and the summary.
    """

    format: int
    stages: dict[str, Entry]
    lost: dict[str, Entry]
    documents: Files


def read(path: Path) -> Manifest:
    """The manifest at `path`; without stages where there is none.

    Raises:
        RunError: it is damaged, or of another format.
    """
    if not path.is_file():
        return Manifest(format=FORMAT, stages={}, lost={}, documents={})
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and sealed.SEAL not in document:
            check_format(path, document)  # Earlier formats had no seal.
        found = cast(Manifest, sealed.opened(document))
        _check_within(found)
    except ValueError as error:
        raise RunError(
            f"{path} is damaged ({error}), and nothing else says which stages are complete. Put a copy of it back, or "
            f"delete {path}, and the same icr run command makes all stages again."
        ) from error
    check_format(path, found)
    return found


def write(path: Path, manifest: Manifest) -> None:
    """Write the manifest in the place of the one that is there."""
    sealed.write(path, manifest)


def there(directory: Path, entry: Entry) -> bool:
    """Whether there is an output, whole or damaged."""
    return (directory / entry["output"]).exists()


def damage(directory: Path, stage: str, entry: Entry) -> str | None:
    """A paragraph on what has happened to a stage's output, and what to do; None where it is as it was written."""
    found = content.damage(directory, entry["files"])
    return found and (
        f"{found}. It belongs to the stage {stage}: delete {directory / entry['output']}, and the same icr run command "
        f"makes it again, and then what was made from it, unless it comes out as it was."
    )


def refusal(path: Path, lines: Sequence[str]) -> str:
    """Why a directory with other keys is refused: each difference once, with the first stage that has it."""
    first = {line.rpartition("   (")[0]: line for line in reversed(lines)}
    listing = "\n  ".join(reversed(first.values()))
    return (
        f"{path} holds a run with other settings, models or data:\n  {listing}\nGive another run.dir, or put them back "
        f"as they were to go on with it."
    )


def _check_within(found: Manifest) -> None:
    """Refuse outputs elsewhere: what is no longer good is removed, and the directory may be somebody else's."""
    entries = [*found["stages"].values(), *found["lost"].values()]
    names = [name for entry in entries for name in (entry["output"], *entry["files"])]
    for name in (*names, *found["documents"]):
        if Path(name).is_absolute() or not name or ".." in Path(name).parts:
            raise ValueError(f"it names {name!r}, which is not in the directory")
