"""How much of the experiment is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SIZES: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("sizes.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Size:
    """One of `sizes.yaml`, which says what each of these is."""

    tokens: int
    pairs: int
    demonstrations: int
    labelled: int
    preferences: int
    languages: list[str]
    references: list[str]
    rounds: list[str]
    prompts: int
    batch: int
    answers: int
    responses: int
    max_new_tokens: int
    iterations: int
    seeds: list[int]
    dtype: str
    threads: int | None


def of(name: str) -> Size:
    """The size of this name."""
    return Size(**SIZES[name])
