"""A whole run, checked and typed: the fields are the groups and keys of `conf/config.yaml`.

A field that changes no number of a run says `compare=False` where it is declared, here or in the class of its group: a
run directory may be reopened with another value of it. Every other one is in the key of some stage (`icr.keys`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch.optim import Optimizer

from icr.checks import require_counts, require_number
from icr.config.languages import language_names
from icr.data.reward_prompts import RewardPrompt
from icr.evaluation import Diagnosis, JudgedEvaluation
from icr.judges import Judge
from icr.losses import Objective
from icr.models import Loader, Lora
from icr.models.arithmetic import Arithmetic
from icr.modules import Schedule
from icr.rewards import LengthPenalty, Pairing
from icr.rounds import Gate, Replay, Reward, RewardPair, Stage
from icr.sampling import Sampler
from icr.tracking import Tracker
from icr.training import Strategy, TrainerSettings, Training
from icr.types import DataSource

TRAINING_REFERENCES = ("round_start", "policy", "reference")
SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Languages:
    """Which languages take part. Config group `langs`.

    Raises:
        ConfigError: a code is unknown or comes twice, or there is none.
    """

    codes: list[str]
    """ISO 639-1, in the order of tables."""
    names: Mapping[str, str]
    """English names of codes that are not known here, or other names of those that are."""

    def __post_init__(self) -> None:
        language_names(self.codes, self.names)

    @property
    def english(self) -> dict[str, str]:
        """English name of each code."""
        return language_names(self.codes, self.names)


@dataclass(frozen=True)
class ModelSettings:
    """The model to start from, and how models are loaded. Config group `model`."""

    path: str
    """`π_0`: a folder, a hub name or a GGUF file."""
    gguf_file: str | None
    """The GGUF file within the folder or hub name that was given; `path` has it already."""
    reference: str
    """`π_I`, for which `reward_pair.reference` stands."""
    shape: Mapping[str, object] | None = field(compare=False)
    """Its configuration, by transformers' names, for plans where it is not on this machine."""
    family: str | None = field(compare=False)
    """Which settings it goes with; None where that is the user's to know. See `made_for`."""
    from_scratch: bool
    """Whether training starts from random weights of its configuration."""
    loader: Loader
    """How this and every other model of the run is loaded."""


@dataclass(frozen=True)
class OptimSettings:
    """The optimiser of each round. Config group `optim`.

    Raises:
        ValueError: `lr` is not above 0.
    """

    optimizer: Callable[[Iterable[torch.nn.Parameter]], Optimizer]
    """Makes it, given what is trained."""
    lr: float
    """Peak learning rate."""
    schedule: str
    """`constant`, `linear` or `cosine`."""
    warmup_ratio: float
    """Share of the steps that warms up linearly."""

    def __post_init__(self) -> None:
        require_number("lr", self.lr, above=0)
        Schedule(self.schedule, self.warmup_ratio)


@dataclass(frozen=True)
class ScoringSettings:
    """How log-probs are computed outside of training. Config group `scoring`."""

    tokens_per_batch: int = field(compare=False)
    """Padded tokens of one pass."""

    def __post_init__(self) -> None:
        require_counts(self, "tokens_per_batch")


@dataclass(frozen=True)
class RunSettings:
    """Where a run leaves what it makes. Config group `run`."""

    dir: str = field(compare=False)


@dataclass(frozen=True)
class CacheSettings:
    """Which stages runs share. Config group `cache`."""

    dir: Path | None = field(compare=False)
    """Folder of the stages that runs share; None shares none."""


@dataclass(frozen=True)
class Settings:
    """A whole run, checked. Each field is the group or key of `conf/config.yaml` that has its name."""

    stage: Stage
    langs: Languages
    model: ModelSettings
    adapter: Lora | None
    reward_pair: RewardPair
    reward: Reward
    reward_prompt: RewardPrompt
    length_control: LengthPenalty
    gate: Gate | None
    pairing: Pairing
    replay: Replay
    loss: Objective
    optim: OptimSettings
    sampling: Sampler
    scoring: ScoringSettings
    trainer: TrainerSettings
    strategy: Strategy = field(compare=False)
    judge: Judge | None
    evaluation: JudgedEvaluation | None
    diagnosis: Diagnosis
    data: DataSource
    training_reference: str
    seed: int
    made_for: str | None = field(compare=False)
    """Family of models that decoding, optimiser, trainer and judge are made for, where `data` brought them."""
    iterations: int = field(compare=False)
    controls: Mapping[str, list[str]] = field(compare=False)
    logger: Callable[[Path], Tracker] = field(compare=False)
    cache: CacheSettings = field(compare=False)
    run: RunSettings = field(compare=False)

    @property
    def samples(self) -> bool:
        """Whether rounds sample responses to prompts; else they train on pairs that are given."""
        return self.data.provides == "prompts"

    @property
    def scores(self) -> bool:
        """Whether the reward pair scores what is sampled."""
        return self.samples and self.reward.needs_reward_pair

    @property
    def prompted(self) -> bool:
        """Whether what is sampled is rewarded under a reward prompt."""
        return self.samples and self.reward.prompted

    @property
    def second_prompt(self) -> RewardPrompt | None:
        """Reward prompt under which the gate has responses rewarded a second time."""
        return self.gate.reward_prompt if self.gate and self.gate.checks == "pairs" else None

    @property
    def arithmetic(self) -> Arithmetic:
        """What policy and training reference are computed in."""
        return self.strategy.arithmetic(self.trainer.precision)

    @cached_property
    def training(self) -> Training:
        """What stays the same in every round's training."""
        schedule = Schedule(self.optim.schedule, self.optim.warmup_ratio)
        return Training(self.loss, self.optim.optimizer, schedule, self.trainer, self.strategy)
