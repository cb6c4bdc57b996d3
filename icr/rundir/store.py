"""The stages of a run in its directory: written beside and moved into place, and a manifest of what is complete."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from icr import distributed
from icr.errors import RunError
from icr.rundir import atomic, content, manifest, parts, work
from icr.rundir.cache.origin import Origin
from icr.rundir.cache.rows import MadeOf
from icr.rundir.cache.stages import StageCache
from icr.rundir.files import without_nan
from icr.rundir.fingerprint import Json
from icr.rundir.key import Key, made_from
from icr.rundir.layout import Layout, round_stages
from icr.rundir.manifest import Entry, Manifest
from icr.rundir.parts import PromptRow
from icr.rundir.sharing import Sharing
from icr.rundir.tables import Table
from icr.types import Prompt

log = logging.getLogger(__name__)

Row = TypeVar("Row")
T = TypeVar("T")


class Saveable(Protocol):
    """What a folder is made of."""

    def save(self, folder: Path) -> None:
        """Write everything into `folder`, which is there and empty."""


class RunDirectory:
    """Stages of one run. A stage is complete when its output is in place and the manifest names it with its key.

    A complete stage is read back, never redone, and what is read is what was written: an output whose content has
    changed is refused. One that is gone is made again, and if it comes out otherwise, so is all that was made from it.
    A stage that was cut short leaves nothing but its work folder, if it has one: finished parts of a table, or
    checkpoints of a training. A stage that was begun under another key is refused.

    In a run of several processes all of them call the same methods: rank 0 alone looks at what is complete, writes, and
    counts what `make` returns; `make` is called on all ranks, and the output is read by all.

    Attributes:
        path, layout: of the directory.
        keys: key of every stage of the run.
    """

    def __init__(
        self, path: Path, keys: Mapping[str, Key], origin: Origin | None = None, cache: StageCache | None = None
    ):
        """Create or reopen `path` for a run whose stages have these keys.

        Args:
            origin: what stages depend on besides their keys, to be kept with them; None where that is not known.
            cache: of stages that runs share; what it has of this run is taken at once.

        Raises:
            RunError: a stage in the directory has another key, and the message shows the difference; the directory
                was made by an earlier version of icr; or its manifest is damaged.
        """
        self.path = Path(path)
        self.keys = keys
        self.layout = Layout(self.path)
        self.manifest: Manifest = distributed.on_rank0(self._open_manifest)
        self._save_manifest()
        self.origin = origin
        self.sharing = Sharing(self, cache)
        self.sharing.take_all()

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds that each stage took when it was made."""
        return {name: entry["seconds"] for name, entry in self.manifest["stages"].items()}

    def complete(self, stage: str) -> bool:
        """Whether the stage's output is there and may be trusted.

        Raises:
            RunError: it is there, and its content is not what was written.
        """
        entry = self.manifest["stages"].get(stage)
        if entry is None:
            return False
        there, damage = distributed.on_rank0(
            lambda: (manifest.there(self.path, entry), manifest.damage(self.path, stage, entry))
        )
        if not there:
            self.manifest["lost"][stage] = self.manifest["stages"].pop(stage)
            self._save_manifest()
        elif damage:
            raise RunError(damage)
        return there

    def incomplete(self, stages: Iterable[str]) -> list[str]:
        """Those of these stages that this run has and that are not complete."""
        return [stage for stage in stages if stage in self.keys and not self.complete(stage)]

    def verify(self) -> None:
        """Look at the outputs of all complete stages, also of those that nothing will be made from.

        Raises:
            RunError: one has another content than was written.
        """
        for stage in self.keys:
            self.complete(stage)

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
        made_of: MadeOf | None = None,
    ) -> list[PromptRow]:
        """Like `rows`, for a long stage: what each call of `make` returns is stored, and a killed run goes on after it.

        What a cache has of the rows is not made again: those of fewer prompts, or the first responses to each.

        Args:
            prompts: what the rows belong to; rows are returned in their order.
            at_a_time: prompts that `make` is called with.
            make: returns the rows of some prompts, on rank 0.
            made_of: on rank 0, what each row is made of; None where it is the prompt alone.
        """
        folder = self.layout.parts(stage)

        def make_all() -> list[PromptRow]:
            self.work_folder(stage, folder)
            rows: dict[tuple[str, str], list[PromptRow]] = {}
            if distributed.rank() == 0:
                rows = parts.read(table, folder)
                missing = [prompt for prompt in prompts if (prompt.id, prompt.language) not in rows]
                parts.add(rows, self.sharing.rows(stage, table, missing, made_of))
            done = distributed.on_rank0(lambda: set(rows))
            left = [prompt for prompt in prompts if (prompt.id, prompt.language) not in done]
            first = len(prompts) - len(left)
            for start in range(0, len(left), at_a_time):
                made = make(left[start : start + at_a_time])
                if distributed.rank() == 0:
                    parts.write(table, folder, first + start, made)
                    parts.add(rows, made)
            mine = prompts if distributed.rank() == 0 else []
            return [row for prompt in mine for row in rows[prompt.id, prompt.language]]

        found = self.rows(stage, table, make_all)
        self.sharing.offer_rows(stage, prompts, made_of)
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
        mark = work.Mark(stage=stage, key=self.keys[stage].as_json(), made_by=dict(made_by))
        distributed.on_rank0(lambda: work.begin(self.layout, folder, mark))

    def remove(self, folder: Path) -> None:
        """Remove a work folder that is needed no more, if it is there."""
        if distributed.rank() == 0:
            work.end(self.layout, folder)

    def keep(self, path: Path, write: Callable[[Path], object]) -> None:
        """Have `write` make a file that is no stage's output, on rank 0, and let readers know its content."""
        if distributed.rank() == 0:
            # Not known while it changes: whoever reads meanwhile takes it as it is.
            if self.manifest["documents"].pop(str(path.relative_to(self.path)), None):
                self._save_manifest()
            atomic.replace(path, write)
            self.manifest["documents"] |= content.of_output(self.path, path)
            self._save_manifest()

    def _once(self, stage: str, output: Path, make: Callable[[], T], write: Callable[[Path, T], None]) -> None:
        if self.complete(stage):
            return
        with self.sharing.claimed(stage):
            if not self.sharing.take(stage):
                self._make(stage, output, make, write)
                self.sharing.offer(stage)

    def _make(self, stage: str, output: Path, make: Callable[[], T], write: Callable[[Path, T], None]) -> None:
        started = time.perf_counter()
        made = make()

        def record() -> tuple[Entry, list[str]]:
            atomic.replace(output, lambda temporary: write(temporary, made))
            entry = Entry(
                output=str(output.relative_to(self.path)),
                key=self.keys[stage].as_json(),
                seconds=round(time.perf_counter() - started, 3),
                finished=datetime.now(UTC).isoformat(timespec="seconds"),
                files=content.of_output(self.path, output),
            )
            if self.origin and self.origin.vouches_for(self.keys[stage]):
                entry["environment"] = dict(self.origin.environment)
                if rows := self.keys[stage].rows:
                    entry["rows"] = rows.as_json()
            before = self.manifest["lost"].get(stage)
            return entry, self._discard_after(stage) if before and before["files"] != entry["files"] else []

        entry, discarded = distributed.on_rank0(record)
        for name in discarded:
            self.manifest["lost"].pop(name, None)
            self.manifest["stages"].pop(name, None)
        self.enter(stage, entry)

    def enter(self, stage: str, entry: Entry) -> None:
        """Let a stage whose output is in place be complete, on all ranks."""
        self.manifest["lost"].pop(stage, None)
        self.manifest["stages"][stage] = entry
        self._save_manifest()

    def _discard_after(self, stage: str) -> list[str]:
        """Remove what was made from a stage that is not what it was; returns the names of these stages."""
        known = self.manifest["stages"] | self.manifest["lost"]
        begun = work.marks(self.layout)
        stored = {name: entry["key"] for name, entry in known.items()} | {m["stage"]: m["key"] for m in begun.values()}
        keys = {name: Key.from_json(key) for name, key in stored.items()} | dict(self.keys)
        later = made_from(stage, keys)
        there = [name for name in later if name in known]
        log.warning(
            "%s was made again and is not what it was (other machines and libraries round otherwise), so that what was "
            "made from it is made again: %s",
            self.path / stage,
            ", ".join(there) or "nothing",
        )
        for name in there:
            atomic.remove(self.path / known[name]["output"])
        for number in self.layout.rounds():
            if round_stages(number).model in later:
                atomic.remove(self.layout.round(number).metrics)
        for folder, mark in begun.items():
            if mark["stage"] in later:
                work.end(self.layout, folder)
        atomic.remove(self.layout.summary)
        return later

    def _open_manifest(self) -> Manifest:
        self.path.mkdir(parents=True, exist_ok=True)
        found = manifest.read(self.layout.manifest)
        begun = {name: Key.from_json(entry["key"]) for name, entry in (found["stages"] | found["lost"]).items()}
        for mark in work.marks(self.layout).values():
            begun.setdefault(mark["stage"], Key.from_json(mark["key"]))
        begun = {stage: key for stage, key in begun.items() if stage in self.keys}
        moved = {key.version: self.keys[stage].version for stage, key in begun.items()}
        lines = [
            f"{line}   ({stage})"
            for stage, before in begun.items()
            for line in self.keys[stage].differs_from(before, moved)
        ]
        if lines:
            raise RunError(manifest.refusal(self.path, lines))
        return found

    def _save_manifest(self) -> None:
        if distributed.rank() == 0:
            manifest.write(self.layout.manifest, self.manifest)
