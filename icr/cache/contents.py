"""What `icr cache` does: list the stages that runs share, prune them, and add those of a run that is done."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from icr.errors import ConfigError, RunError
from icr.rundir import manifest
from icr.rundir.cache.origin import Origin
from icr.rundir.cache.rows import share
from icr.rundir.cache.stages import ENTRY, Made, Shared, StageCache, digest, discard, kind, read
from icr.rundir.cache.upstream import upstream
from icr.rundir.key import Key, Rows
from icr.rundir.layout import Layout
from icr.types import Prompt

COLUMNS = ["id", "language", "prompt", "english", "response_ids"]
UNITS = {"h": 3600, "d": 86400, "w": 604800, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True)
class Listed:
    """A stage in the cache, as it is listed.

    Attributes:
        shared: the stage.
        bytes: of its files. Those that a run has as well take no room of their own.
        idle: seconds since it was put or taken last.
    """

    shared: Shared
    bytes: int
    idle: float


def listed(cache: Path) -> list[Listed]:
    """All stages in a cache, the one that was of use last first."""
    return sorted(_listed(cache), key=lambda one: one.idle)


def to_prune(found: Sequence[Listed], older_than: float | None, larger_than: float | None) -> list[Listed]:
    """Those that have been idle for longer than so many seconds; and of the rest the longest idle ones, until all that
    stay have together at most so many bytes.
    """
    old = [one for one in found if older_than is not None and one.idle > older_than]
    left = sorted((one for one in found if one not in old), key=lambda one: one.idle)
    total, kept = 0.0, []
    for one in left:
        total += one.bytes
        if larger_than is None or total <= larger_than:
            kept.append(one)
    return [one for one in found if one not in kept]


def prune(cache: Path, gone: Sequence[Listed]) -> None:
    """Remove stages from the cache, and what is known of their rows; no run loses anything."""
    for one in gone:
        discard(cache, one.shared.folder)


def add(cache: Path, run: Path) -> tuple[int, int]:
    """Put the stages of a run into the cache; returns how many, and how many cannot be shared.

    Raises:
        RunError: the folder holds no run.
    """
    layout = Layout(run)
    if not layout.manifest.is_file():
        raise RunError(f"{run} holds no run: {layout.manifest.name} is missing.")
    entries = manifest.read(layout.manifest)["stages"]
    keys = {name: Key.from_json(entry["key"]) for name, entry in entries.items()}
    added = 0
    for name, entry in entries.items():
        if (environment := entry.get("environment")) is None or manifest.damage(run, name, entry):
            continue
        behind = upstream(name, keys, entries)
        if behind is None:
            continue
        shared = StageCache(cache, Origin(environment))
        shared.put(Made(name, keys[name], behind), run, entry, layout.logged_beside(name))
        if stored := entry.get("rows"):
            holds = digest(entry["output"], entry["files"])
            _add_rows(shared, run, name, replace(keys[name], rows=Rows.from_json(stored)), holds)
        added += 1
    return added, len(entries) - added


def _add_rows(cache: StageCache, run: Path, stage: str, key: Key, holds: str) -> None:
    """Let it be known which rows a round's table of responses, or of their rewards, has."""
    table = Layout(run).table(str(Path(stage).with_name("responses")))
    responses = pq.read_table(table, columns=COLUMNS).to_pylist()
    prompts: dict[tuple[str, str], Prompt] = {}
    made_of: dict[tuple[str, str], list[object]] = {}
    for row in responses:
        place = row["id"], row["language"]
        prompts[place] = Prompt(id=row["id"], language=row["language"], text=row["prompt"], english=row["english"])
        made_of.setdefault(place, []).append(row["response_ids"])
    of_prompts = kind(stage) == "responses"
    share(cache, kind(stage), key, list(prompts.values()), None if of_prompts else made_of, holds)


def amount(text: str) -> float:
    """Seconds of `12h`, `30d`, `4w`, or bytes of `500M`, `20G`.

    Raises:
        ConfigError: it is something else.
    """
    matches = re.fullmatch(r"(\d+(?:\.\d+)?)([hdwKMGT])", text)
    if not matches:
        raise ConfigError(f"{text!r} is no age, as in 12h, 30d or 4w, and no size, as in 500M or 20G.")
    return float(matches[1]) * UNITS[matches[2]]


def _listed(cache: Path) -> Iterator[Listed]:
    for path in cache.glob(f"stages/*/*/{ENTRY}"):
        if shared := read(path.parent):
            size = sum(held["bytes"] for held in shared.document["files"].values())
            yield Listed(shared, size, time.time() - path.stat().st_mtime)
