"""Reads back what W&B keeps of an offline run: its records, in the log format of LevelDB."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32768
HEAD = 7
"""Bytes before the first record (an identifier of W&B's), and before each fragment: checksum, length, kind."""

FULL, FIRST, MIDDLE, LAST = range(1, 5)


@dataclass(frozen=True)
class Offline:
    """An offline run.

    Attributes:
        folder: W&B's own folder of it, with its files.
        history: what was logged, one dictionary per call, without W&B's own keys; a table as its description.
        summary: last values, and what was put there by hand.
        config: what the run was given.
        axes: the axis of each metric or pattern that has one of its own.
        id, group, tags: of the run.
        alerts: title and text of each.
        artifacts: name, type, aliases and metadata of each.
    """

    folder: Path
    history: list[dict[str, Any]]
    summary: dict[str, Any]
    config: dict[str, Any]
    axes: dict[str, str]
    id: str
    group: str
    tags: list[str]
    alerts: list[tuple[str, str]]
    artifacts: list[dict[str, Any]]

    @property
    def logged(self) -> set[str]:
        """Every key that was logged."""
        return {key for row in self.history for key in row}


def read(run_dir: Path) -> Offline:
    """The only offline run of a run directory, once its end is on the disk."""
    (file,) = run_dir.glob("wandb/offline-run-*/*.wandb")
    found = records(run_dir)
    runs = [record.run for record in found if record.HasField("run")]
    artifacts = [record.request.log_artifact.artifact for record in found if record.request.HasField("log_artifact")]
    artifacts += [record.artifact for record in found if record.HasField("artifact")]
    summary, config = {}, {}
    for record in found:
        if record.HasField("run"):
            config |= _items(record.run.config.update)
        if record.HasField("summary"):
            summary |= _items(record.summary.update)
        if record.HasField("config"):
            config |= _items(record.config.update)
    return Offline(
        folder=file.parent,
        history=[_items(record.history.item) for record in found if record.HasField("history")],
        summary=summary,
        config=config,
        axes={m.glob_name or m.name: m.step_metric for m in (r.metric for r in found) if m.step_metric},
        id=runs[0].run_id,
        group=runs[0].run_group,
        tags=list(runs[0].tags),
        alerts=[(record.alert.title, record.alert.text) for record in found if record.HasField("alert")],
        artifacts=[
            {"name": a.name, "type": a.type, "aliases": list(a.aliases), "metadata": json.loads(a.metadata or "{}")}
            for a in artifacts
        ],
    )


def records(folder: Path) -> list[Record]:
    """Records of the only offline run under `folder`, once its end is among them.

    W&B's own process empties its buffers a moment after the run has finished.
    """
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    until = time.monotonic() + 30
    while True:
        found = list(_records(file.read_bytes()))
        if any(record.HasField("exit") for record in found):
            return found
        assert time.monotonic() < until, [record.WhichOneof("record_type") for record in found]
        time.sleep(0.1)


def _items(items: Iterable[Any]) -> dict[str, Any]:
    """Keys and values of a record, without those of W&B's own; what has parts, such as a table, as a dictionary."""
    found: dict[str, Any] = {}
    for item in items:
        key, *part = [*item.nested_key] or [item.key]
        value = json.loads(item.value_json)
        if part:
            found.setdefault(key, {})["/".join(part)] = value
        elif not key.startswith("_"):
            found[key] = value
    return found


def _records(content: bytes) -> Iterator[Record]:
    at, parts = HEAD, b""
    while at + HEAD <= len(content):
        if BLOCK - at % BLOCK < HEAD:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + HEAD])
        parts = (b"" if kind in (FULL, FIRST) else parts) + content[at + HEAD : at + HEAD + length]
        at += HEAD + length
        if kind in (FULL, LAST) and at <= len(content):
            yield Record.FromString(parts)
