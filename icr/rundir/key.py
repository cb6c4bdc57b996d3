"""What a stage's content depends on, all of it and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from icr.rundir import fingerprint
from icr.rundir.fingerprint import Json


@dataclass(frozen=True)
class Key:
    """The key of a stage: two runs whose stages have one key have the same content there.

    Attributes:
        settings: its own settings, by their names in `conf/`, without those that change no number.
        upstream: versions of what it is made of, by name: other stages, models, prompts.
    """

    settings: Mapping[str, Json]
    upstream: Mapping[str, str]
    rows: Rows | None = field(default=None, compare=False)
    """Of a table by prompt, of which tables of fewer prompts or responses are a part; None of others."""

    @property
    def version(self) -> str:
        """What stands for the stage's content in the keys of later ones."""
        return fingerprint.of_value(self.as_json())

    def as_json(self) -> dict[str, Json]:
        """For the manifest."""
        return {"settings": dict(self.settings), "upstream": dict(self.upstream)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Key:
        """What `as_json` has made."""
        return cls(stored["settings"], stored["upstream"])

    def differs_from(self, before: Key, moved: Mapping[str, str] = MappingProxyType({})) -> list[str]:
        """Lines `name: before → now` for all in which another key differs from this one.

        Args:
            moved: of earlier stages, the version before and the version now. That one follows from the other is not
                told: the difference is, where it comes from.
        """
        upstream = {name: moved.get(version, version) for name, version in before.upstream.items()}
        told = {
            name: before.upstream.get(name)
            for name in dict.fromkeys([*before.upstream, *self.upstream])
            if upstream.get(name) != self.upstream.get(name)
        }
        settings = fingerprint.as_stored(dict(self.settings))
        return [
            *difference(dict(before.settings), settings),
            *difference(dict(told), {name: self.upstream.get(name) for name in told}),
        ]


@dataclass(frozen=True)
class Rows:
    """What each row of a table by prompt depends on, apart from how many there are.

    Attributes:
        base: the stage's key without its prompts and the number of responses.
        n: responses to each prompt.
    """

    base: Key
    n: int

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {"base": self.base.as_json(), "n": self.n}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Rows:
        """What `as_json` has made."""
        return cls(Key.from_json(stored["base"]), stored["n"])


def made_from(stage: str, keys: Mapping[str, Key]) -> list[str]:
    """Names of the stages among `keys` that are made of `stage`, and of those that are made of these."""
    later: list[str] = []
    versions = {keys[stage].version}
    while found := [n for n, key in keys.items() if n not in later and versions & set(key.upstream.values())]:
        later += found
        versions |= {keys[name].version for name in found}
    return later


def difference(before: Json, after: Json, key: str = "") -> list[str]:
    """Lines `key: before → after` for every leaf at which two nested dictionaries differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for name in dict.fromkeys([*before, *after])
            for line in difference(before.get(name), after.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if before == after else [f"{key}: {before} → {after}"]
