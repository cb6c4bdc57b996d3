"""The folder of the cache: whole stages by their address, put once, taken as hard links."""

from __future__ import annotations

import json
import logging
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from icr.errors import ConfigError
from icr.models.folder import base_of
from icr.rundir import atomic, content, fingerprint, sealed
from icr.rundir.cache.claims import Claim
from icr.rundir.cache.origin import Origin
from icr.rundir.key import Key
from icr.rundir.manifest import Entry

log = logging.getLogger(__name__)

TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# Stages that runs of icr share: `icr cache` lists and prunes them.\n"
)
"""Tells programs that back up that nothing here is lost (https://bford.info/cachedir/)."""
OUTPUT, BESIDE, ENTRY = "output", "beside", "entry.json"


@dataclass(frozen=True)
class Shared:
    """A stage in the cache.

    Attributes:
        folder: where it lies.
        document: what is known of it: its name `stage` in the run directory `made_by`, `key`, `environment`, `seconds`,
            `finished`, `suffix` and `files` of its output, digests `upstream` of what it is made of, and `base`, the
            version of the model that an adapter lies on.
    """

    folder: Path
    document: dict[str, Any]

    @property
    def output(self) -> Path:
        """Its output, a file or a folder."""
        return self.folder / f"{OUTPUT}{self.document['suffix']}"


@dataclass(frozen=True)
class Made:
    """A stage of a run, by all that its content follows from.

    Attributes:
        stage: its name in the run.
        key: its key.
        upstream: digest of each of the run's stages that it is made of.
    """

    stage: str
    key: Key
    upstream: Mapping[str, str]


class StageCache:
    """Stages that runs have made, each in a folder named by its address.

    The address is the hash of the stage's key and of the environment that it is made in. Stages that depend on more
    than these are not shared.

    Attributes:
        path: of the cache.
        origin: of the stages that are put and taken.

    Raises:
        ConfigError: the folder cannot be written.
    """

    def __init__(self, path: Path, origin: Origin):
        self.path, self.origin = path, origin
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not (tag := path / "CACHEDIR.TAG").is_file():
                tag.write_text(TAG, encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"cache.dir={path} cannot be written ({error}). Name another folder, or do without: cache.dir=null."
            ) from error

    def takes(self, key: Key) -> bool:
        """Whether a stage of this key may be shared at all."""
        return self.origin.vouches_for(key)

    def address(self, kind: str, key: Key) -> str:
        """Name of the folder of a stage: two stages of a round may depend on the same."""
        return fingerprint.of_value({"kind": kind, "key": key.as_json(), "environment": dict(self.origin.environment)})

    def folder(self, kind: str, key: Key) -> Path:
        """Folder of a stage, whether or not it is there."""
        address = self.address(kind, key)
        return self.path / "stages" / address[:2] / address

    def claim(self, kind: str, key: Key, run: Path) -> Claim:
        """The right to make a stage; of a table by prompt that is a part of others, the right to make any of these."""
        address = self.address(kind, key.rows.base if key.rows else key)
        return Claim(self.path / "claims" / address, run)

    def find(self, made: Made) -> Shared | None:
        """This stage, made of stages with the same content; None where there is none, or it is damaged."""
        if not self.takes(made.key) or not (found := read(self.folder(kind(made.stage), made.key))):
            return None
        if found.document["upstream"] != dict(made.upstream) or not _based(found):
            return None
        return found if self.whole(found) else None

    def whole(self, found: Shared) -> bool:
        """Whether a stage holds what was put; one that does not is removed."""
        if damage := content.damage(found.folder, found.document["files"]):
            log.warning("%s; it is removed from the cache and made again", damage)
            discard(self.path, found.folder)
            return False
        os.utime(found.folder / ENTRY)  # For pruning by age: when it was last of use.
        return True

    def put(self, made: Made, run: Path, entry: Entry, beside: Path | None) -> None:
        """Share a stage that a run has made; nothing happens where it is there already, made of the same.

        Args:
            made: the stage.
            run: the run directory.
            entry: what the run's manifest says of it.
            beside: folder of what was made along with it and is no stage's output.
        """
        folder = self.folder(kind(made.stage), made.key)
        there = read(folder)
        if not self.takes(made.key) or (there and there.document["upstream"] == dict(made.upstream)):
            return
        output = run / entry["output"]
        document = {
            "stage": made.stage,
            "key": entry["key"],
            "environment": dict(self.origin.environment),
            "suffix": output.suffix if output.is_file() else "",
            "seconds": entry["seconds"],
            "finished": entry["finished"],
            "made_by": str(run.resolve()),
            "upstream": dict(made.upstream),
            "base": _base(output),
        }

        def write(temporary: Path) -> None:
            temporary.mkdir()
            link(output, temporary / f"{OUTPUT}{document['suffix']}")
            if beside is not None and beside.is_dir():
                shutil.copytree(beside, temporary / BESIDE)
            files = content.of_output(temporary, temporary)
            sealed.write(temporary / ENTRY, {**document, "files": files})

        try:
            discard(self.path, folder)
            atomic.replace(folder, write)
        except OSError as error:
            log.warning("%s is not shared: %s", document["stage"], error)


def kind(stage: str) -> str:
    """What stages of all rounds and models share: `responses` of `round_0/responses`, `answers` of `answers/M0`."""
    head, _, tail = stage.partition("/")
    return tail if head.startswith("round_") else head


def read(folder: Path) -> Shared | None:
    """What lies in a folder of the cache; None where it is no whole stage."""
    try:
        return Shared(folder, sealed.opened(json.loads((folder / ENTRY).read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return None


def discard(cache: Path, folder: Path) -> None:
    """Remove a stage from a cache, and what is known of its rows: at once for whoever looks for it."""
    gone = cache / "gone" / uuid.uuid4().hex
    gone.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        os.rename(folder, gone)
    for rows in (cache / "rows").glob(f"*/*/{folder.name}.json"):
        rows.unlink(missing_ok=True)
    shutil.rmtree(gone, ignore_errors=True)


def _base(output: Path) -> str | None:
    """Version of the model that an adapter lies on, wherever that is; None of anything else."""
    base = base_of(str(output)) if output.is_dir() else None
    return base and fingerprint.of_model(base)


def _based(found: Shared) -> bool:
    """Whether that model still is where the adapter names it, and what it was."""
    return found.document["base"] is None or found.document["base"] == _base(found.output)


def place(found: Shared, key: Key, run: Path, output: Path, beside: Path | None) -> Entry:
    """Put a shared stage into a run, and return what the run's manifest says of it.

    Args:
        beside: folder of what was made along with it and is no stage's output.
    """
    if beside is not None and (kept := found.folder / BESIDE).is_dir():
        atomic.replace(beside, lambda temporary: shutil.copytree(kept, temporary))
    atomic.replace(output, lambda temporary: link(found.output, temporary))
    return Entry(
        output=str(output.relative_to(run)),
        key=key.as_json(),
        seconds=found.document["seconds"],
        finished=found.document["finished"],
        files=content.of_output(run, output),
        environment=found.document["environment"],
        shared=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def link(source: Path, target: Path) -> None:
    """Hard links to a file, or to all files of a folder; copies where the file systems are not one."""
    if source.is_dir():
        target.mkdir()
        for item in source.iterdir():
            link(item, target / item.name)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def digest(output: str, files: content.Files) -> str:
    """What a stage's output holds, wherever it lies."""
    held = {str(Path(name).relative_to(output)): held["sha256"] for name, held in files.items()}
    return fingerprint.of_value(held)
