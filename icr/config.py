"""From Hydra's composed configuration to checked objects, before any model is loaded."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from icr import usage
from icr.arguments import check, signature
from icr.data.languages import language_names
from icr.errors import ConfigError
from icr.explain import options
from icr.models.loading import Loader
from icr.modules.schedule import Schedule
from icr.rewards import LengthPenalty, Pairing
from icr.rounds.gates import Gate
from icr.rounds.reward_pair import RewardPair
from icr.rounds.training import TrainerSettings, Training

OmegaConf.register_new_resolver(
    "package", lambda package, path: str(importlib.resources.files(package) / path), replace=True
)
OmegaConf.register_new_resolver(
    "language_names", lambda codes, extra: OmegaConf.create(language_names(codes, extra)), replace=True
)
OmegaConf.register_new_resolver(
    "job_folder", lambda number, overrides: re.sub(r"[^\w.,=+-]+", "_", f"{number}_{overrides}")[:120], replace=True
)
OmegaConf.register_new_resolver("help_groups", lambda: usage.groups(conf_dir()), replace=True)
OmegaConf.register_new_resolver("help_settings", lambda *, _root_: _help_settings(_root_), replace=True)

IRRELEVANT = ("run", "logger", "iterations", "controls", "experiment")
"""Settings that do not change what a stage makes: a run directory may be reopened with others."""

PLAIN = {
    "langs": {"codes": "list", "names": "dict"},
    "model": {"path": "str", "reference": "str | None", "from_scratch": "bool", "loader": "dict"},
    "optim": {"optimizer": "dict", "lr": "float", "schedule": "str", "warmup_ratio": "float"},
    "scoring": {"tokens_per_batch": "int"},
    "run": {"dir": "str"},
    "stage": {"name": "str", "split": "str", "result": "str", "baselines": "dict"},
}
"""Settings of the groups that no single class takes."""

TOP = {"iterations": "int", "seed": "int", "training_reference": "str"}
GROUPS = (
    *("reward_pair", "reward", "reward_prompt", "length_control", "gate", "pairing", "loss", "sampling", "trainer"),
    *("evaluation", "controls", "logger", "data"),
)
PRECISIONS = ("32-true", "bf16-true", "bf16-mixed", "16-true", "16-mixed", "64-true")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")


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


def conf_dir() -> Path:
    """The `conf` folder: inside the installed package, or at the top of a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "conf"


def build(cfg: DictConfig) -> Settings:
    """Resolve, check and instantiate everything but the models.

    Raises:
        ConfigError: a setting is missing, unknown, of the wrong type, out of range, or does not fit another one.
    """
    check("langs", OmegaConf.to_container(cfg.langs), PLAIN["langs"])
    languages = language_names(cfg.langs.codes, cfg.langs.names)
    _require_given(cfg)
    _check_plain(cfg)
    for key in ("iterations", "scoring.tokens_per_batch"):
        if OmegaConf.select(cfg, key) < 1:
            raise ConfigError(f"{key} must be at least 1, got {OmegaConf.select(cfg, key)}.")
    _one_of(cfg, "training_reference", ("round_start", "policy", "reference"))
    sampler = make(cfg, "sampling")
    if cfg.stage.name != "sft" and sampler.n < 2:
        raise ConfigError(f"sampling.n must be at least 2, got {sampler.n}: a pair needs two responses.")
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
        gate=make(cfg, "gate") if "_target_" in cfg.gate else None,
        pairing=make(cfg, "pairing"),
        training=_training(cfg),
        evaluation=_evaluation(cfg),
        scoring_tokens=cfg.scoring.tokens_per_batch,
        controls=OmegaConf.to_container(cfg.controls),
        tracking=make(cfg, "logger"),
        compared={
            key: value for key, value in OmegaConf.to_container(cfg, resolve=True).items() if key not in IRRELEVANT
        },
    )


def make(cfg: DictConfig, key: str) -> Any:
    """Instantiate the node at `key`; what its class refuses becomes a `ConfigError` that names the key."""
    node = OmegaConf.select(cfg, key)
    _check_signatures(key, OmegaConf.to_container(node, resolve=True))
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, (ValueError, TypeError)):
            raise ConfigError(_keyed(key, cause)) from error
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error


def nodes(node: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a configuration, groups included, dotted as the command line takes it, with its unresolved node."""
    for name in node:
        child = node._get_node(name)
        yield f"{prefix}{name}", child
        if name != "hydra" and OmegaConf.is_dict(child) and not child._is_none():
            yield from nodes(child, f"{prefix}{name}.")


def _help_settings(root: DictConfig) -> str:
    leaves = {key: node for key, node in nodes(root) if key != "hydra" and not (OmegaConf.is_dict(node) and node)}
    plain = {
        key: OmegaConf.to_container(node) if OmegaConf.is_config(node) else node._value()
        for key, node in leaves.items()
    }
    text = usage.settings(conf_dir(), plain, root.hydra.runtime.choices)
    return text.replace("$", "$$")  # Hydra substitutes once more.


def _check_signatures(key: str, values: Any) -> None:
    """Check `values`, and what is nested in them, against the classes that their `_target_`s name."""
    if not isinstance(values, Mapping):
        return
    if "_target_" in values:
        try:
            target = get_object(values["_target_"])
        except Exception as error:
            raise ConfigError(f"{key}._target_: {values['_target_']} cannot be imported.") from error
        check(key, values, signature(target), target.__name__)
    for name, value in values.items():
        _check_signatures(f"{key}.{name}", value)


def _check_plain(cfg: DictConfig) -> None:
    top = dict.fromkeys([*PLAIN, *GROUPS], "dict") | TOP
    check("", OmegaConf.to_container(cfg, resolve=True), top)
    for key, expected in PLAIN.items():
        check(key, OmegaConf.to_container(cfg[key], resolve=True), expected)


def _keyed(key: str, cause: Exception) -> str:
    """`beta must be above 0` of `loss` → `loss.beta must be above 0.`"""
    text = str(cause).rstrip(".")
    words = text.split(" ", 2)
    separator = "." if words[0].isidentifier() and words[1:2] in (["must"], ["is"]) else ": "
    return f"{key}{separator}{text}."


def _require_given(cfg: DictConfig) -> None:
    try:
        missing = dict(_missing(cfg))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key} does not resolve: {str(error).splitlines()[0]}.") from error
    if "reward_pair.reference" not in missing:
        missing.pop("model.reference", None)  # It stands for nothing else.
    if needed := [key for key, itself in missing.items() if itself]:
        raise ConfigError(
            f"{', '.join(needed)} must be given, as in {needed[0]}=<value>; `python -m icr.run --help` with the same "
            f"choices says what for."
        )


def _missing(node: DictConfig, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Keys without a value, and whether they lack it themselves (or refer to one that does)."""
    for name in node:
        key = f"{prefix}{name}"
        try:
            value = node[name]
        except (MissingMandatoryValue, InterpolationToMissingValueError) as error:
            yield key, isinstance(error, MissingMandatoryValue)
            continue
        if OmegaConf.is_dict(value):
            yield from _missing(value, f"{key}.")


def _one_of(cfg: DictConfig, key: str, choices: tuple[str, ...]) -> None:
    if (value := OmegaConf.select(cfg, key)) not in choices:
        raise ConfigError(f"{key} must be one of {', '.join(choices)}, got {value!r}.")


def _data(cfg: DictConfig) -> Any:
    source = make(cfg, "data")
    needed = {"sft": ("demonstrations",), "english_dpo": ("preferences", "prompts"), "icr": ("prompts",)}
    _one_of(cfg, "stage.name", tuple(needed))
    if not any(hasattr(source, method) for method in needed[cfg.stage.name]):
        raise ConfigError(
            f"data: {type(source).__name__} cannot feed stage={cfg.stage.name}, which needs "
            f"{' or '.join(needed[cfg.stage.name])}. Choose another with data=<option>: "
            f"{', '.join(options(conf_dir(), 'data'))}."
        )
    return source


def _evaluation(cfg: DictConfig) -> Any:
    if "_target_" not in cfg.evaluation:
        return None
    evaluation = make(cfg, "evaluation")
    try:
        make(OmegaConf.create({"sampling": {**cfg.sampling, "n": evaluation.n, **evaluation.sampling}}), "sampling")
    except ConfigError as error:
        raise ConfigError(f"evaluation (n and sampling): {error}") from error
    return evaluation


def _training(cfg: DictConfig) -> Training:
    if not cfg.optim.lr > 0:
        raise ConfigError(f"optim.lr must be above 0, got {cfg.optim.lr!r}.")
    _one_of(cfg, "trainer.precision", PRECISIONS)
    _one_of(cfg, "trainer.accelerator", ACCELERATORS)
    if not re.fullmatch(r"auto|-1|[1-9]\d*|\d+(,\d+)+,?", devices := str(cfg.trainer.devices)):
        raise ConfigError(f"trainer.devices must be a number of devices, auto, or a list such as 0,1; got {devices!r}.")
    optimizer = make(cfg, "optim.optimizer")
    try:
        optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError) as error:
        raise ConfigError(_keyed("optim.optimizer", error)) from error
    return Training(
        objective=make(cfg, "loss"),
        optimizer=optimizer,
        schedule=_typed(Schedule, "optim", {"name": cfg.optim.schedule, "warmup_ratio": cfg.optim.warmup_ratio}),
        settings=_typed(TrainerSettings, "trainer", OmegaConf.to_container(cfg.trainer, resolve=True)),
    )


def _typed(kind: type, key: str, values: Mapping[str, Any]) -> Any:
    """A dataclass from plain values, with types checked."""
    check(key, values, signature(kind))
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(_keyed(key, error)) from error
