"""The run directory: every stage's output, written beside and moved into place, and a manifest of what is complete."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from icr import distributed
from icr.errors import RunError
from icr.rundir import fingerprint
from icr.rundir.files import without_nan
from icr.rundir.layout import FORMAT, check_format
from icr.rundir.tables import Table

Row = TypeVar("Row")
T = TypeVar("T")


class Saveable(Protocol):
    """What a folder is made of."""

    def save(self, folder: Path) -> None:
        """Write everything into `folder`, which is there and empty."""


class RunDirectory:
    """Stages of one run. A stage is complete when its output is in place and the manifest names it with its inputs.

    A complete stage is read back, never redone. One that was cut short leaves nothing but a temporary file and, for
    tables that are made in parts, the finished parts, which are kept.

    In a run of several processes all of them call the same methods: rank 0 alone looks at what is complete, writes, and
    counts what `make` returns; `make` is called on all ranks, and the output is read by all.
    """

    def __init__(self, path: Path, settings: dict[str, Any]):
        """Create or reopen `path` for a run with these settings.

        Raises:
            RunError: the directory belongs to a run with other settings; the message shows the difference.
        """
        self.path = Path(path)
        self._manifest_path = self.path / "manifest.json"
        self.manifest = distributed.on_rank0(lambda: self._open_manifest(settings))
        self._save_manifest()

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds that each stage took when it was made."""
        return {name: entry["seconds"] for name, entry in self.manifest["stages"].items()}

    def complete(self, stage: str) -> bool:
        """Whether the stage's output is there and may be trusted."""
        stages = self.manifest["stages"]
        return stage in stages and distributed.on_rank0(lambda: (self.path / stages[stage]["output"]).exists())

    def version(self, stage: str) -> str:
        """What stands for a complete stage's content among the inputs of a later one."""
        return fingerprint.of_value({stage: self.manifest["stages"][stage]["inputs"]})

    def rows(
        self, stage: str, table: Table[Row], inputs: dict[str, Any], make: Callable[[], Sequence[Row]]
    ) -> list[Row]:
        """The table `<stage>.parquet`: read if complete, else made and written."""
        path = f"{stage}.parquet"
        self._once(stage, path, inputs, make, table.write)
        return table.read(self.path / path)

    def rows_in_parts(
        self, stage: str, table: Table[Row], inputs: dict[str, Any], parts: Sequence[Callable[[], Sequence[Row]]]
    ) -> list[Row]:
        """Like `rows`, for a long stage: each part is stored as it is finished; a killed run goes on after the last."""

        def make() -> list[Row]:
            folder = distributed.on_rank0(lambda: self._parts_folder(stage, {**inputs, "parts": len(parts)}))
            paths = [folder / f"{number:05d}.parquet" for number in range(len(parts))]
            done = distributed.on_rank0(lambda: [path.exists() for path in paths])
            for path, part, is_done in zip(paths, parts, done, strict=True):
                rows = [] if is_done else part()
                if not is_done and distributed.rank() == 0:
                    _replace(path, lambda temporary, rows=rows: table.write(temporary, rows))
            return [row for path in paths for row in table.read(path)] if distributed.rank() == 0 else []

        rows = self.rows(stage, table, inputs, make)
        self.remove(f"{stage}.parts")
        return rows

    def json(self, stage: str, inputs: dict[str, Any], make: Callable[[], Any]) -> Any:
        """The document `<stage>.json`: read if complete, else made and written, with null for NaN."""
        path = self.path / f"{stage}.json"
        self._once(stage, f"{stage}.json", inputs, lambda: without_nan(make()), write_json)
        return json.loads(path.read_text(encoding="utf-8"))

    def folder(self, stage: str, inputs: dict[str, Any], make: Callable[[], Saveable]) -> Path:
        """The folder `<stage>/`: kept if complete, else what `make` returns is saved elsewhere and moved into place."""

        def write(temporary: Path, made: Saveable) -> None:
            temporary.mkdir()
            made.save(temporary)

        self._once(stage, stage, inputs, make, write)
        return self.path / stage

    def remove(self, path: str) -> None:
        """Remove a file or folder that is needed no more, if it is there."""
        if distributed.rank() == 0:
            shutil.rmtree(self.path / path, ignore_errors=True)

    def _once(
        self, stage: str, output: str, inputs: dict[str, Any], make: Callable[[], T], write: Callable[[Path, T], None]
    ) -> None:
        if self.complete(stage):
            self._check_inputs(stage, inputs)
            return
        started = time.perf_counter()
        made = make()

        def record() -> dict[str, Any]:
            _replace(self.path / output, lambda temporary: write(temporary, made))
            seconds = round(time.perf_counter() - started, 3)
            finished = datetime.now(UTC).isoformat(timespec="seconds")
            return {"output": output, "inputs": inputs, "seconds": seconds, "finished": finished}

        self.manifest["stages"][stage] = distributed.on_rank0(record)
        self._save_manifest()

    def _check_inputs(self, stage: str, inputs: dict[str, Any]) -> None:
        stored = self.manifest["stages"][stage]["inputs"]
        if fingerprint.of_value(stored) != fingerprint.of_value(inputs):
            changed = ", ".join(difference(stored, inputs))
            raise RunError(
                f"{self.path / stage} was made from other inputs ({changed}). Models or data have changed since the "
                f"run began; give another run.dir, or put them back as they were."
            )

    def _parts_folder(self, stage: str, inputs: dict[str, Any]) -> Path:
        folder = self.path / f"{stage}.parts"
        label, mark = fingerprint.of_value(inputs), folder / "inputs"
        if not mark.exists() or mark.read_text() != label:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            mark.write_text(label)
        return folder

    def _open_manifest(self, settings: dict[str, Any]) -> dict[str, Any]:
        self.path.mkdir(parents=True, exist_ok=True)
        settings = json.loads(json.dumps(settings, default=str))
        if not self._manifest_path.exists():
            return {"format": FORMAT, "settings": settings, "stages": {}}
        manifest = json.loads(self._manifest_path.read_text(encoding="utf-8"))
        check_format(self._manifest_path, manifest)
        if manifest["stages"] and (changed := difference(manifest["settings"], settings)):
            listing = "\n  ".join(changed)
            raise RunError(
                f"{self.path} holds a run with other settings:\n  {listing}\nGive another run.dir, or the settings as "
                f"they were to go on with it."
            )
        return manifest | {"settings": settings}

    def _save_manifest(self) -> None:
        if distributed.rank() == 0:
            _replace(self._manifest_path, lambda temporary: write_json(temporary, self.manifest))


def difference(before: Any, after: Any, key: str = "") -> list[str]:
    """Lines `key: before → after` for every leaf at which two nested dictionaries differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = dict.fromkeys([*before, *after])
        return [
            line
            for name in keys
            for line in difference(before.get(name), after.get(name), f"{key}.{name}" if key else str(name))
        ]
    return [] if before == after else [f"{key}: {before} → {after}"]


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` make a temporary sibling, and move it to `path` when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    _remove(temporary)
    try:
        write(temporary)
        if path.is_dir():
            _remove(path)
        os.replace(temporary, path)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
