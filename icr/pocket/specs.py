"""Which instructions the world has. Each is five choices; its id spells them, and the id's hash picks its split."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from functools import cache
from itertools import product

from icr.errors import ConfigError, DataError
from icr.pocket.lexicon import language

NAMES = (
    "Max",
    "Ana",
    "Leo",
    "Mia",
    "Sam",
    "Eva",
    "Tom",
    "Nina",
    "Omar",
    "Lea",
    "Ivan",
    "Zoe",
    "Amir",
    "Lina",
    "Noah",
    "Sara",
)

# Upper end of each split on the line from 0 to 1 on which ids are placed.
SPLITS = {"sft": 0.40, "train": 0.70, "dev": 0.85, "test": 1.0}


@dataclass(frozen=True, slots=True)
class Spec:
    """One instruction in no language yet: list `number` words of `topic` for `name`, under a title if `titled`."""

    topic: str
    number: int
    name: str
    phrasing: int
    titled: bool

    @property
    def id(self) -> str:
        """The spec in words, such as `fruits-3-max-0-titled`."""
        return f"{self.topic}-{self.number}-{self.name.lower()}-{self.phrasing}-{'titled' if self.titled else 'plain'}"

    @classmethod
    def from_id(cls, id: str) -> Spec:
        """The spec that `id` spells.

        Raises:
            DataError: no instruction of the world has this id.
        """
        spec = _by_id().get(id)
        if spec is None:
            raise DataError(
                f"{id!r} is not an instruction of the pocket world, whose ids look like 'fruits-3-max-0-titled'."
            )
        return spec


def specs(split: str) -> list[Spec]:
    """The instructions of a split, in the one order of which subsets are the beginnings.

    Raises:
        ConfigError: there is no such split.
    """
    if split not in SPLITS:
        raise ConfigError(f"The pocket world has no split {split!r}: it has {', '.join(SPLITS)}.")
    mine = [spec for spec in _by_id().values() if _split(spec) == split]
    return sorted(mine, key=lambda spec: place(spec.id))


def place(*key: object) -> float:
    """Where `key` falls between 0 and 1: uniform over keys, the same in every process."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def dice(*key: object) -> random.Random:
    """A random generator that depends on `key` alone."""
    return random.Random(hashlib.sha256("/".join(map(str, key)).encode()).digest())


def _split(spec: Spec) -> str:
    return next(split for split, end in SPLITS.items() if place(spec.id) < end)


@cache
def _by_id() -> dict[str, Spec]:
    english = language("en")
    choices = product(english.topics, english.numbers, NAMES, range(len(english.prompts)), (False, True))
    return {spec.id: spec for spec in (Spec(*choice) for choice in choices)}
