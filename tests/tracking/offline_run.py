"""Reads back what W&B keeps of an offline run: its records, in the log format of LevelDB."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32768
HEAD = 7
"""Bytes before the first record (an identifier of W&B's), and before each fragment: checksum, length, kind."""

FULL, FIRST, MIDDLE, LAST = range(1, 5)


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


def history(folder: Path) -> list[dict[str, Any]]:
    """What was logged, one dictionary per call; of a table only that it is there."""
    return [
        {[*item.nested_key, item.key][0]: json.loads(item.value_json) for item in record.history.item}
        for record in records(folder)
        if record.HasField("history")
    ]


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
