"""A whole run, checked: what the rest of the project takes for the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icr.models.loading import Loader
from icr.rewards import LengthPenalty, Pairing
from icr.rounds.gates import Gate
from icr.rounds.reward_pair import RewardPair
from icr.training.fit import Training


@dataclass(frozen=True)
class StageSettings:
    """What is trained: config group `stage`."""

    name: str
    split: str
    result: str
    baselines: Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """A whole run, checked. The fields are the groups and keys of `conf/config.yaml`."""

    stage: StageSettings
    languages: Mapping[str, str]
    iterations: int
    seed: int
    model_path: str
    from_scratch: bool
    loader: Loader
    reward_pair: RewardPair
    training_reference: str
    data: Any
    sampler: Any
    reward: Any
    reward_prompt: Any
    length_control: LengthPenalty
    gate: Gate | None
    pairing: Pairing
    training: Training
    evaluation: Any
    scoring_tokens: int
    controls: Mapping[str, list[str]]
    tracking: Callable[[Path], Any]
    compared: dict[str, Any]
