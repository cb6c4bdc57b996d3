"""What a run trains: Implicit Cross-Lingual Rewarding, or one of the two stages before it. Config group `stage`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Stage:
    """What all of them have in common.

    Attributes:
        name: of the option in `conf/stage`.
        takes: what its data source may provide (`icr.types.DataSource.provides`).
    """

    split: str
    """Split of the prompt source."""
    result: str
    """Name of a round's model in tables, such as `M{round}`."""
    baselines: Mapping[str, str]
    """Path of each model that is evaluated beside the results, by name."""

    name: ClassVar[str]
    takes: ClassVar[tuple[str, ...]]


class ICR(Stage):
    """Rounds of sampling, scoring with the reward pair, pairing and training."""

    name = "icr"
    takes = ("prompts",)


class EnglishDPO(Stage):
    """Preference training in English: on labelled pairs, or on the model's own samples, rewarded by a judge."""

    name = "english_dpo"
    takes = ("preferences", "prompts")


class SFT(Stage):
    """Supervised fine-tuning on demonstrations."""

    name = "sft"
    takes = ("demonstrations",)
