"""What a stage is made of, with all that this is made of in turn."""

from __future__ import annotations

from collections.abc import Mapping

from icr.rundir import fingerprint
from icr.rundir.cache.stages import digest, kind
from icr.rundir.key import Key
from icr.rundir.manifest import Entry


def upstream(stage: str, keys: Mapping[str, Key], entries: Mapping[str, Entry]) -> dict[str, str] | None:
    """Digest of each of the run's stages that this one is made of; None where one is not complete.

    A digest is of the stage's content and of the digests of what it is made of: other rewards may leave alike what lies
    between them and the pairs, the prompts that are skipped and the length penalty.

    Args:
        keys: of the run's stages.
        entries: those that are complete, as the manifest has them.
    """
    of: dict[str, dict[str, str] | None] = {}

    def made_of(name: str) -> dict[str, str] | None:
        if name not in of:
            versions = set(keys[name].upstream.values())
            # Several stages may have one version: skipped prompts and length penalties, say.
            behind = {other: f"{kind(other)} {key.version}" for other, key in keys.items() if key.version in versions}
            found = {label: digested(other) for other, label in behind.items()}
            known = {label: value for label, value in found.items() if value is not None}
            of[name] = known if len(known) == len(found) else None
        return of[name]

    def digested(name: str) -> str | None:
        if name not in entries or (behind := made_of(name)) is None:
            return None
        return fingerprint.of_value([digest(entries[name]["output"], entries[name]["files"]), behind])

    return made_of(stage)
