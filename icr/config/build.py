"""From Hydra's composed configuration to checked objects, before any model is loaded."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from icr.config.files import conf_dir
from icr.config.languages import language_names
from icr.config.messages import options
from icr.config.nodes import keyed, make, one_of, require_given, typed
from icr.config.settings import Settings, StageSettings
from icr.config.signatures import check
from icr.errors import ConfigError
from icr.models.adapters import Lora
from icr.modules.schedule import Schedule
from icr.training.fit import TrainerSettings, Training

IRRELEVANT = ("run", "logger", "iterations", "controls", "experiment")
"""Settings that do not change what a stage makes: a run directory may be reopened with others."""

PLAIN = {
    "langs": {"codes": "list", "names": "dict"},
    "model": {
        "path": "str",
        "reference": "str | None",
        "shape": "dict | None",
        "from_scratch": "bool",
        "loader": "dict",
    },
    "optim": {"optimizer": "dict", "lr": "float", "schedule": "str", "warmup_ratio": "float"},
    "scoring": {"tokens_per_batch": "int"},
    "run": {"dir": "str"},
    "stage": {"name": "str", "split": "str", "result": "str", "baselines": "dict"},
}
"""Settings of the groups that no single class takes."""

TOP = {"iterations": "int", "seed": "int", "training_reference": "str"}
GROUPS = (
    *("reward_pair", "reward", "reward_prompt", "length_control", "gate", "pairing", "loss", "sampling", "trainer"),
    *("strategy", "evaluation", "controls", "logger", "data", "adapter"),
)
PRECISIONS = ("32-true", "bf16-true", "bf16-mixed", "16-true", "16-mixed", "64-true")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")


def build(cfg: DictConfig) -> Settings:
    """Resolve, check and instantiate everything but the models.

    Raises:
        ConfigError: a setting is missing, unknown, of the wrong type, out of range, or does not fit another one.
    """
    check("langs", OmegaConf.to_container(cfg.langs), PLAIN["langs"])
    languages = language_names(cfg.langs.codes, cfg.langs.names)
    require_given(cfg)
    _check_plain(cfg)
    for key in ("iterations", "scoring.tokens_per_batch"):
        if OmegaConf.select(cfg, key) < 1:
            raise ConfigError(f"{key} must be at least 1, got {OmegaConf.select(cfg, key)}.")
    one_of(cfg, "training_reference", ("round_start", "policy", "reference"))
    _check_attention(cfg)
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
        loader=replace(make(cfg, "model.loader"), adapter=_adapter(cfg)),
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
        compared=_compared(cfg, sampler),
    )


def _compared(cfg: DictConfig, sampler: Any) -> dict[str, Any]:
    """Settings that a run directory may only be reopened with: not where sampling runs, such as the addresses."""
    values = {key: value for key, value in OmegaConf.to_container(cfg, resolve=True).items() if key not in IRRELEVANT}
    incidental = {field.name for field in dataclasses.fields(sampler) if not field.compare}
    values["sampling"] = {key: value for key, value in values["sampling"].items() if key not in incidental}
    return values


def _check_plain(cfg: DictConfig) -> None:
    top = dict.fromkeys([*PLAIN, *GROUPS], "dict") | TOP
    check("", OmegaConf.to_container(cfg, resolve=True), top)
    for key, expected in PLAIN.items():
        check(key, OmegaConf.to_container(cfg[key], resolve=True), expected)


def _check_attention(cfg: DictConfig) -> None:
    on_cpu = cfg.trainer.accelerator == "cpu" or not torch.cuda.is_available()
    if cfg.model.loader.attn_implementation == "flex_attention" and on_cpu:
        raise ConfigError(
            "model.loader.attn_implementation=flex_attention has no backward pass on a CPU: leave it empty, or give "
            "sdpa or eager."
        )


def _data(cfg: DictConfig) -> Any:
    source = make(cfg, "data")
    needed = {"sft": ("demonstrations",), "english_dpo": ("preferences", "prompts"), "icr": ("prompts",)}
    one_of(cfg, "stage.name", tuple(needed))
    if not any(hasattr(source, method) for method in needed[cfg.stage.name]):
        raise ConfigError(
            f"data: {type(source).__name__} cannot feed stage={cfg.stage.name}, which needs "
            f"{' or '.join(needed[cfg.stage.name])}. Choose another with data=<option>: "
            f"{', '.join(options(conf_dir(), 'data'))}."
        )
    return source


def _adapter(cfg: DictConfig) -> Lora | None:
    if "_target_" not in cfg.adapter:
        check("adapter", OmegaConf.to_container(cfg.adapter), {})
        return None
    if cfg.model.from_scratch:
        raise ConfigError("model.from_scratch: random weights are trained as a whole; leave them to adapter=none.")
    if cfg.trainer.precision in ("bf16-true", "16-true"):
        raise ConfigError(
            f"trainer.precision={cfg.trainer.precision} would round the adapter too. Leave trainer.precision=32-true, "
            f"which keeps the adapter in float32, and give model.loader.dtype=bfloat16 for the weights under it."
        )
    return make(cfg, "adapter")


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
    one_of(cfg, "trainer.precision", PRECISIONS)
    one_of(cfg, "trainer.accelerator", ACCELERATORS)
    if not re.fullmatch(r"auto|-1|[1-9]\d*|\d+(,\d+)+,?", devices := str(cfg.trainer.devices)):
        raise ConfigError(f"trainer.devices must be a number of devices, auto, or a list such as 0,1; got {devices!r}.")
    optimizer = make(cfg, "optim.optimizer")
    try:
        made = optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(keyed("optim.optimizer", error)) from error
    if made.defaults.get("fused") and cfg.trainer.precision.endswith("mixed") and cfg.trainer.gradient_clip:
        raise ConfigError(
            f"optim.optimizer.fused: Lightning clips no gradients of a fused optimiser under "
            f"trainer.precision={cfg.trainer.precision}; give optim.optimizer.fused=null or trainer.gradient_clip=0."
        )
    strategy = make(cfg, "strategy")
    one_of(cfg, "trainer.precision", strategy.precisions)
    if strategy.shards and type(made).__module__.startswith("bitsandbytes"):
        raise ConfigError("optim: 8-bit optimisers cannot take weights that strategy=fsdp2 splits; give optim=adamw.")
    if strategy.shards and OmegaConf.select(cfg, "adapter.quantisation"):
        raise ConfigError("adapter: strategy=fsdp2 cannot split 4-bit weights; give adapter=lora, or strategy=ddp.")
    return Training(
        strategy=strategy,
        objective=make(cfg, "loss"),
        optimizer=optimizer,
        schedule=typed(Schedule, "optim", {"name": cfg.optim.schedule, "warmup_ratio": cfg.optim.warmup_ratio}),
        settings=typed(TrainerSettings, "trainer", OmegaConf.to_container(cfg.trainer, resolve=True)),
    )
