"""The stages of a run in its directory: written beside and moved into place, and a manifest of what is complete."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from icr import distributed
from icr.errors import RunError
from icr.rundir import atomic
from icr.rundir.files import without_nan
from icr.rundir.fingerprint import Json
from icr.rundir.key import Key, difference
from icr.rundir.layout import FORMAT, Layout, check_format
from icr.rundir.tables import Table
from icr.types import Prompt

Row = TypeVar("Row")
T = TypeVar("T")


class Saveable(Protocol):
    """What a folder is made of."""

    def save(self, folder: Path) -> None:
        """Write everything into `folder`, which is there and empty."""


class OfPrompt(Protocol):
    """A row that belongs to a prompt: a response, or its reward."""

    @property
    def id(self) -> str: ...

    @property
    def language(self) -> str: ...


PromptRow = TypeVar("PromptRow", bound=OfPrompt)


class RunDirectory:
    """Stages of one run. A stage is complete when its output is in place and the manifest names it with its key.

    A complete stage is read back, never redone. One that was cut short leaves nothing but its work folder, if it has
    one: finished parts of a table, or checkpoints of a training. A stage that was begun under another key is refused.

    In a run of several processes all of them call the same methods: rank 0 alone looks at what is complete, writes, and
    counts what `make` returns; `make` is called on all ranks, and the output is read by all.

    Attributes:
        path, layout: of the directory.
        keys: key of every stage of the run.
    """

    def __init__(self, path: Path, keys: Mapping[str, Key]):
        """Create or reopen `path` for a run whose stages have these keys.

        Raises:
            RunError: a stage in the directory has another key, and the message shows the difference; or the directory
                was made by an earlier version of icr.
        """
        self.path = Path(path)
        self.keys = keys
        self.layout = Layout(self.path)
        self.manifest: dict[str, Any] = distributed.on_rank0(self._open_manifest)
        self._save_manifest()

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds that each stage took when it was made."""
        return {name: entry["seconds"] for name, entry in self.manifest["stages"].items()}

    def complete(self, stage: str) -> bool:
        """Whether the stage's output is there and may be trusted."""
        stages = self.manifest["stages"]
        return stage in stages and distributed.on_rank0(lambda: (self.path / stages[stage]["output"]).exists())

    def rows(self, stage: str, table: Table[Row], make: Callable[[], Sequence[Row]]) -> list[Row]:
        """The table `<stage>.parquet`: read if complete, else made and written."""
        path = self.layout.table(stage)
        self._once(stage, path, make, table.write)
        return table.read(path)

    def rows_by_prompt(
        self,
        stage: str,
        table: Table[PromptRow],
        prompts: Sequence[Prompt],
        at_a_time: int,
        make: Callable[[Sequence[Prompt]], Sequence[PromptRow]],
    ) -> list[PromptRow]:
        """Like `rows`, for a long stage: what each call of `make` returns is stored, and a killed run goes on after it.

        Args:
            prompts: what the rows belong to; rows are returned in their order.
            at_a_time: prompts that `make` is called with.
            make: returns the rows of some prompts, on rank 0.
        """
        folder = self.layout.parts(stage)

        def make_all() -> list[PromptRow]:
            self.work_folder(stage, folder)
            rows = _read_parts(table, folder) if distributed.rank() == 0 else {}
            done = distributed.on_rank0(lambda: set(rows))
            left = [prompt for prompt in prompts if (prompt.id, prompt.language) not in done]
            first = len(prompts) - len(left)
            for start in range(0, len(left), at_a_time):
                made = make(left[start : start + at_a_time])
                if distributed.rank() == 0:
                    atomic.replace(folder / f"{first + start:08d}.parquet", partial(table.write, rows=made))
                    _add(rows, made)
            mine = prompts if distributed.rank() == 0 else []
            return [row for prompt in mine for row in rows[prompt.id, prompt.language]]

        found = self.rows(stage, table, make_all)
        self.remove(folder)
        return found

    def json(self, stage: str, make: Callable[[], Any]) -> Any:
        """The document `<stage>.json`: read if complete, else made and written, with null for NaN."""
        path = self.layout.document(stage)
        self._once(stage, path, lambda: without_nan(make()), atomic.write_json)
        return json.loads(path.read_text(encoding="utf-8"))

    def folder(self, stage: str, make: Callable[[], Saveable | None]) -> Path:
        """The folder `<stage>/`: kept if complete, else what `make` returns on rank 0 is saved elsewhere and moved into
        place.
        """

        def write(temporary: Path, made: Saveable | None) -> None:
            temporary.mkdir()
            if made is None:
                raise RuntimeError(f"{stage} was not made on rank 0")
            made.save(temporary)

        path = self.layout.folder(stage)
        self._once(stage, path, make, write)
        return path

    def work_folder(self, stage: str, folder: Path, made_by: Mapping[str, Json] = MappingProxyType({})) -> None:
        """Make `folder` for what a stage leaves while it is not complete, with the stage's key beside it.

        Args:
            made_by: settings that change no number, but without which this work cannot be gone on with.

        Raises:
            RunError: the work was begun with others.
        """
        mark = {"stage": stage, "key": self.keys[stage].as_json(), "made_by": dict(made_by)}

        def make() -> None:
            if (begun := _json(self.layout.begun(folder))) and (lines := difference(begun["made_by"], dict(made_by))):
                raise RunError(
                    f"{self.path / stage} was begun otherwise ({', '.join(lines)}), and only goes on as it was begun. "
                    f"Put that back, or remove {folder} to begin the stage anew."
                )
            folder.mkdir(parents=True, exist_ok=True)
            atomic.replace(self.layout.begun(folder), lambda temporary: atomic.write_json(temporary, mark))

        distributed.on_rank0(make)

    def remove(self, folder: Path) -> None:
        """Remove a work folder that is needed no more, if it is there."""
        if distributed.rank() == 0:
            shutil.rmtree(folder, ignore_errors=True)
            self.layout.begun(folder).unlink(missing_ok=True)

    def _once(self, stage: str, output: Path, make: Callable[[], T], write: Callable[[Path, T], None]) -> None:
        if self.complete(stage):
            return
        started = time.perf_counter()
        made = make()

        def record() -> dict[str, Any]:
            atomic.replace(output, lambda temporary: write(temporary, made))
            seconds = round(time.perf_counter() - started, 3)
            finished = datetime.now(UTC).isoformat(timespec="seconds")
            where = str(output.relative_to(self.path))
            return {"output": where, "key": self.keys[stage].as_json(), "seconds": seconds, "finished": finished}

        self.manifest["stages"][stage] = distributed.on_rank0(record)
        self._save_manifest()

    def _open_manifest(self) -> dict[str, Any]:
        self.path.mkdir(parents=True, exist_ok=True)
        if not (manifest := _json(self.layout.manifest)):
            return {"format": FORMAT, "stages": {}}
        check_format(self.layout.manifest, manifest)
        begun = {stage: Key.from_json(entry["key"]) for stage, entry in manifest["stages"].items()}
        for mark in map(_json, self.layout.all_begun()):
            begun.setdefault(mark["stage"], Key.from_json(mark["key"]))
        begun = {stage: key for stage, key in begun.items() if stage in self.keys}
        moved = {key.version: self.keys[stage].version for stage, key in begun.items()}
        lines = [
            f"{line}   ({stage})"
            for stage, before in begun.items()
            for line in self.keys[stage].differs_from(before, moved)
        ]
        if lines:
            raise RunError(_refusal(self.path, lines))
        return manifest

    def _save_manifest(self) -> None:
        if distributed.rank() == 0:
            atomic.replace(self.layout.manifest, lambda temporary: atomic.write_json(temporary, self.manifest))


def _refusal(path: Path, lines: Sequence[str]) -> str:
    """Each difference once, with the first stage that has it."""
    first = {line.rpartition("   (")[0]: line for line in reversed(lines)}
    listing = "\n  ".join(reversed(first.values()))
    return (
        f"{path} holds a run with other settings, models or data:\n  {listing}\nGive another run.dir, or put them back "
        f"as they were to go on with it."
    )


def _read_parts(table: Table[PromptRow], folder: Path) -> dict[tuple[str, str], list[PromptRow]]:
    rows: dict[tuple[str, str], list[PromptRow]] = {}
    for part in sorted(folder.glob("*.parquet")):
        _add(rows, table.read(part))
    return rows


def _add(rows: dict[tuple[str, str], list[PromptRow]], made: Sequence[PromptRow]) -> None:
    for row in made:
        rows.setdefault((row.id, row.language), []).append(row)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
