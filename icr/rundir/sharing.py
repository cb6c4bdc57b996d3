"""A run's side of the cache: which of its stages are taken from it, and which are put."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from icr import distributed
from icr.rundir.cache import rows, stages
from icr.rundir.cache.claims import Claim
from icr.rundir.cache.rows import MadeOf
from icr.rundir.cache.stages import Made, StageCache, digest, kind
from icr.rundir.cache.upstream import upstream
from icr.rundir.manifest import Entry
from icr.rundir.parts import PromptRow
from icr.rundir.tables import Table
from icr.types import Prompt

if TYPE_CHECKING:
    from icr.rundir.key import Key
    from icr.rundir.store import RunDirectory

log = logging.getLogger(__name__)

SLICE = 10.0
"""Seconds between two words of rank 0 to the others, which wait for it while it waits for another run."""


class Sharing:
    """Takes the stages of one run from a cache, and puts those that it makes; without a cache it does nothing.

    A stage is taken only where all stages that it is made of are in the run and hold what they held when it was made.
    Rank 0 alone looks into the cache.
    """

    def __init__(self, run: RunDirectory, cache: StageCache | None):
        self.run, self.cache = run, cache

    def take_all(self) -> None:
        """Take all that the cache has of this run, stage by stage in the order in which they are made."""
        if self.cache and (taken := [stage for stage in self.run.keys if self.take(stage)]):
            entries = self.run.manifest["stages"]
            spared = sum(entries[stage]["seconds"] for stage in taken)
            log.info("%d stages are taken from %s, which took %.0f s to make", len(taken), self.cache.path, spared)

    def take(self, stage: str) -> bool:
        """Put one stage into the run, if the cache has it and the run has not; whether it has."""
        cache, known = self.cache, self.run.manifest
        if not cache or stage in known["stages"] or stage in known["lost"]:
            return False
        entry = distributed.on_rank0(lambda: self._placed(cache, stage))
        if entry:
            self.run.enter(stage, entry)
        return entry is not None

    def offer(self, stage: str) -> None:
        """Put a stage that this run has made into the cache."""
        if self.cache and distributed.rank() == 0 and (upstream := self._upstream(stage)) is not None:
            made = Made(stage, self.run.keys[stage], upstream)
            beside = self.run.layout.logged_beside(stage)
            self.cache.put(made, self.run.path, self.run.manifest["stages"][stage], beside)

    def rows(
        self, stage: str, table: Table[PromptRow], prompts: Sequence[Prompt], made_of: MadeOf | None
    ) -> list[PromptRow]:
        """Rows of these prompts that the cache has, on rank 0."""
        if not self.cache:
            return []
        found = rows.known(self.cache, kind(stage), self.run.keys[stage], table, prompts, made_of)
        if found:
            log.info("%s: %s rows are taken from %s", stage, f"{len(found):,}", self.cache.path)
        return found

    def offer_rows(self, stage: str, prompts: Sequence[Prompt], made_of: MadeOf | None) -> None:
        """Let it be known which rows the cache has, now that it has the table of this stage."""
        if self.cache and distributed.rank() == 0:
            entry = self.run.manifest["stages"][stage]
            holds = digest(entry["output"], entry["files"])
            rows.share(self.cache, kind(stage), self.run.keys[stage], prompts, made_of, holds)

    @contextmanager
    def claimed(self, stage: str) -> Iterator[None]:
        """Hold the right to make a stage, which another run may have at first: then that is said, and waited for."""
        key = self.run.keys[stage]
        if not self.cache or not self.cache.takes(key):
            yield
            return
        # The other ranks hear from rank 0 all the while.
        claim = _claim(self.cache, kind(stage), key, self.run) if distributed.rank() == 0 else None
        held = distributed.on_rank0(lambda: _acquired(claim, 0.0))
        if claim and not held:
            log.info("%s: waiting for %s, which makes the same", stage, claim.holder())
        while not held:
            held = distributed.on_rank0(lambda: _acquired(claim, SLICE))
        try:
            yield
        finally:
            if claim:
                claim.release()

    def _placed(self, cache: StageCache, stage: str) -> Entry | None:
        key, upstream, layout = self.run.keys[stage], self._upstream(stage), self.run.layout
        if upstream is None or not (found := cache.find(Made(stage, key, upstream))):
            return None
        kinds = {".parquet": layout.table, ".json": layout.document}
        output = kinds.get(found.output.suffix, layout.folder)(stage)
        try:
            return stages.place(found, key, self.run.path, output, layout.logged_beside(stage))
        except OSError:
            if stages.read(found.folder):
                raise
            return None  # Somebody has removed it meanwhile.

    def _upstream(self, stage: str) -> dict[str, str] | None:
        return upstream(stage, self.run.keys, self.run.manifest["stages"])


def _claim(cache: StageCache, kind: str, key: Key, run: RunDirectory) -> Claim | None:
    """The claim to a stage; None where the cache takes none, such as on a full disk: then the run makes its own."""
    try:
        return cache.claim(kind, key, run.path)
    except OSError as error:
        log.warning("%s: who makes %s cannot be said (%s), and it is made here", cache.path, kind, error)
        return None


def _acquired(claim: Claim | None, seconds: float) -> bool:
    try:
        return claim is None or claim.acquire(seconds)
    except OSError as error:
        log.warning("a stage cannot be claimed (%s), and is made here", error)
        return True
