"""From Hydra's composed configuration to checked objects, before any model is loaded."""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from icr.data.languages import language_names
from icr.errors import ConfigError
from icr.losses import Objective
from icr.models.loading import Loader
from icr.modules.schedule import Schedule
from icr.rewards import LengthPenalty, Pairing
from icr.rounds.reward_pair import RewardPair
from icr.rounds.training import TrainerSettings, Training

OmegaConf.register_new_resolver(
    "package", lambda package, path: str(importlib.resources.files(package) / path), replace=True
)
OmegaConf.register_new_resolver(
    "language_names", lambda codes, extra: OmegaConf.create(language_names(codes, extra)), replace=True
)

IRRELEVANT = ("run", "logger", "iterations", "controls", "experiment")
"""Settings that do not change what a stage makes: a run directory may be reopened with others."""


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
    pairing: Pairing
    training: Training
    evaluation: Any
    scoring_tokens: int
    controls: Mapping[str, list[str]]
    compared: dict[str, Any]


def conf_dir() -> Path:
    """The `conf` folder: inside the installed package, or at the top of a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "conf"


def build(cfg: DictConfig) -> Settings:
    """Resolve, check and instantiate everything but the models.

    Raises:
        ConfigError: a setting is missing, of the wrong type, out of range, or does not fit another one.
    """
    languages = language_names(cfg.langs.codes, cfg.langs.names)
    _require_given(cfg)
    for key in ("iterations", "scoring.tokens_per_batch"):
        _at_least_one(key, OmegaConf.select(cfg, key))
    if not isinstance(cfg.seed, int):
        raise ConfigError(f"seed must be a whole number, got {cfg.seed!r}.")
    sampler = make(cfg, "sampling")
    if cfg.stage.name != "sft" and sampler.n < 2:
        raise ConfigError(f"sampling.n must be at least 2, got {sampler.n}: a pair needs two responses.")
    if cfg.training_reference not in ("round_start", "policy", "reference"):
        raise ConfigError(
            f"training_reference must be round_start, policy or reference, got {cfg.training_reference!r}."
        )
    return Settings(
        stage=StageSettings(**OmegaConf.to_container(cfg.stage, resolve=True)),
        languages=languages,
        iterations=cfg.iterations,
        seed=cfg.seed,
        model_path=cfg.model.path,
        from_scratch=cfg.model.from_scratch,
        loader=make(cfg, "model.loader"),
        reward_pair=make(cfg, "reward_pair"),
        training_reference=cfg.training_reference,
        data=_data(cfg),
        sampler=sampler,
        reward=make(cfg, "reward"),
        reward_prompt=make(cfg, "reward_prompt"),
        length_control=make(cfg, "length_control"),
        pairing=make(cfg, "pairing"),
        training=_training(cfg),
        evaluation=make(cfg, "evaluation") if "_target_" in cfg.evaluation else None,
        scoring_tokens=cfg.scoring.tokens_per_batch,
        controls=OmegaConf.to_container(cfg.controls),
        compared={
            key: value for key, value in OmegaConf.to_container(cfg, resolve=True).items() if key not in IRRELEVANT
        },
    )


def make(cfg: DictConfig, key: str) -> Any:
    """Instantiate the node at `key`; what its class refuses becomes a `ConfigError` that names the key."""
    try:
        return instantiate(OmegaConf.select(cfg, key), _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, (ValueError, TypeError)):
            raise ConfigError(_keyed(key, cause)) from error
        raise ConfigError(f"{key}: {error}") from error


def near(word: str, words: Any) -> str:
    """A hint at the most similar of `words`, or nothing."""
    match = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" Did you mean {match[0]}?" if match else ""


def _keyed(key: str, cause: Exception) -> str:
    """`beta must be above 0` of `loss` → `loss.beta must be above 0.`"""
    text = str(cause).rstrip(".")
    separator = "." if text.split(" ", 1)[0].isidentifier() and isinstance(cause, ValueError) else ": "
    return f"{key}{separator}{text}."


def _require_given(cfg: DictConfig) -> None:
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        listed = ", ".join(missing)
        raise ConfigError(f"{listed} must be given, as in {missing[0]}=<value>; conf/ says what each is for.")
    try:
        OmegaConf.resolve(cfg.copy())
    except (InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException) as error:
        raise ConfigError(f"The configuration does not resolve: {str(error).splitlines()[0]}") from error


def _at_least_one(key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{key} must be a whole number of at least 1, got {value!r}.")


def _data(cfg: DictConfig) -> Any:
    source = make(cfg, "data")
    needed = {"sft": ("demonstrations",), "english_dpo": ("preferences", "prompts"), "icr": ("prompts",)}
    if not any(hasattr(source, method) for method in needed[cfg.stage.name]):
        raise ConfigError(
            f"data: {type(source).__name__} cannot feed stage={cfg.stage.name}, which needs "
            f"{' or '.join(needed[cfg.stage.name])}; see the files of conf/data."
        )
    return source


def _training(cfg: DictConfig) -> Training:
    optimizer = make(cfg, "optim.optimizer")
    lr = cfg.optim.lr
    if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not lr > 0:
        raise ConfigError(f"optim.lr must be above 0, got {lr!r}.")
    return Training(
        objective=make(cfg, "loss"),
        optimizer=optimizer,
        schedule=_typed(Schedule, "optim", {"name": cfg.optim.schedule, "warmup_ratio": cfg.optim.warmup_ratio}),
        settings=_typed(TrainerSettings, "trainer", OmegaConf.to_container(cfg.trainer)),
    )


def _typed(kind: type, key: str, values: Mapping[str, Any]) -> Any:
    """A dataclass from plain values, with types checked."""
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values))
    except ValueError as error:
        raise ConfigError(_keyed(key, error)) from error
    except OmegaConfBaseException as error:
        name = getattr(error, "full_key", "") or ""
        raise ConfigError(f"{key}.{name}: {str(error).splitlines()[0]}.") from error
