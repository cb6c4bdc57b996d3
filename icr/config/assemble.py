"""From Hydra's composed configuration to checked objects, before any model is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from omegaconf import DictConfig, OmegaConf

from icr.checks import require_integer, require_number
from icr.config.consistency import check_family, check_gate, check_replay
from icr.config.files import conf_dir
from icr.config.gguf import check_gguf, with_gguf_file
from icr.config.messages import options
from icr.config.nodes import keyed, make, one_of, optional, require_given, typed, values_of
from icr.config.settings import (
    TRAINING_REFERENCES,
    CacheSettings,
    Languages,
    ModelSettings,
    OptimSettings,
    RunSettings,
    ScoringSettings,
    Settings,
)
from icr.config.signatures import KINDS, check, signature
from icr.errors import ConfigError
from icr.evaluation import JudgedEvaluation
from icr.models import Loader, Lora
from icr.models.dtypes import torch_dtype
from icr.rounds import Stage
from icr.tracking import Tracker
from icr.training import PRECISIONS, TrainerSettings
from icr.types import DataSource

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
ITERATIONS = 1000
"""Most rounds of a run: a typing error rather than a wish beyond."""


def build(cfg: DictConfig) -> Settings:
    """Resolve, check and instantiate everything but the models.

    Raises:
        ConfigError: a setting is missing, unknown, of the wrong type, out of range, or does not fit another one.
    """
    top = {
        name: kind if KINDS.keys() >= set(kind.split(" | ")) else "dict"
        for name, kind in (signature(Settings) or {}).items()
    }
    if missing := [name for name in top if name not in cfg]:
        raise ConfigError(f"{missing[0]} was taken out of the configuration, and no run can do without it.")
    cfg = with_gguf_file(cfg)
    if not OmegaConf.is_dict(cfg.langs):
        raise ConfigError(f"langs must be a group of settings, got {cfg.langs!r}.")
    langs = typed(Languages, "langs", values_of(cfg, "langs"))
    require_given(cfg)
    check("", values_of(cfg), top)
    try:
        require_number("iterations", cfg.iterations, least=1, most=ITERATIONS)
        require_integer("seed", cfg.seed)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    one_of(cfg, "training_reference", TRAINING_REFERENCES)
    adapter = adapter_of(cfg)
    settings = Settings(
        stage=make(cfg, "stage"),
        langs=langs,
        model=model_of(cfg, adapter),
        adapter=adapter,
        reward_pair=make(cfg, "reward_pair"),
        reward=make(cfg, "reward"),
        reward_prompt=make(cfg, "reward_prompt"),
        length_control=make(cfg, "length_control"),
        gate=optional(cfg, "gate"),
        pairing=make(cfg, "pairing"),
        replay=make(cfg, "replay"),
        loss=make(cfg, "loss"),
        optim=typed(OptimSettings, "optim", values_of(cfg, "optim") | {"optimizer": make(cfg, "optim.optimizer")}),
        sampling=make(cfg, "sampling"),
        scoring=typed(ScoringSettings, "scoring", values_of(cfg, "scoring")),
        trainer=trainer_of(cfg),
        strategy=make(cfg, "strategy"),
        judge=optional(cfg, "judge"),
        evaluation=evaluation_of(cfg),
        diagnosis=make(cfg, "diagnosis"),
        data=make(cfg, "data"),
        training_reference=cfg.training_reference,
        seed=cfg.seed,
        made_for=cfg.made_for,
        iterations=cfg.iterations,
        controls=_controls(values_of(cfg, "controls")),
        logger=_logger(cfg),
        cache=_cache(cfg),
        run=typed(RunSettings, "run", values_of(cfg, "run")),
    )
    check_family(settings.made_for, settings.model)
    check_gate(settings)
    check_replay(settings)
    check_gguf(settings)
    _check_data(settings.data, settings.stage)
    _check_attention(settings.model.loader, settings.trainer)
    _check_optimizer(settings)
    _check_arithmetic(settings)
    if settings.samples and settings.sampling.n < 2:
        raise ConfigError(f"sampling.n must be at least 2, got {settings.sampling.n}: a pair needs two responses.")
    return settings


def model_of(cfg: DictConfig, adapter: Lora | None) -> ModelSettings:
    """The model to start from, and how models are loaded."""
    loader: Loader = make(cfg, "model.loader")
    return typed(ModelSettings, "model", values_of(cfg, "model") | {"loader": replace(loader, adapter=adapter)})


def adapter_of(cfg: DictConfig) -> Lora | None:
    """What is trained in the place of all weights; None where they are."""
    adapter: Lora | None = optional(cfg, "adapter")
    if adapter and cfg.model.from_scratch:
        raise ConfigError("model.from_scratch: random weights are trained as a whole; leave them to adapter=none.")
    if adapter and cfg.trainer.precision in ("bf16-true", "16-true"):
        raise ConfigError(
            f"trainer.precision={cfg.trainer.precision} would round the adapter too. Leave trainer.precision=32-true, "
            f"which keeps the adapter in float32, and give model.loader.dtype=bfloat16 for the weights under it."
        )
    return adapter


def trainer_of(cfg: DictConfig) -> TrainerSettings:
    """How Lightning trains, and on what machine everything else is done."""
    one_of(cfg, "trainer.precision", PRECISIONS)
    one_of(cfg, "trainer.accelerator", ACCELERATORS)
    if not re.fullmatch(r"auto|-1|[1-9]\d{0,5}|\d{1,5}(,\d{1,5})+,?", devices := str(cfg.trainer.devices)):
        raise ConfigError(f"trainer.devices must be a number of devices, auto, or a list such as 0,1; got {devices!r}.")
    return typed(TrainerSettings, "trainer", values_of(cfg, "trainer"))


def _controls(controls: Mapping[str, object]) -> dict[str, list[str]]:
    for name, overrides in controls.items():
        if not isinstance(overrides, list) or not all(isinstance(override, str) for override in overrides):
            raise ConfigError(f"controls.{name} must be a list of overrides, as in [loss=nll], got {overrides!r}.")
    return cast("dict[str, list[str]]", controls)


def evaluation_of(cfg: DictConfig) -> JudgedEvaluation | None:
    """On which prompts, and against whose answers, models are judged; None where they are not."""
    evaluation: JudgedEvaluation | None = optional(cfg, "evaluation")
    if evaluation is None:
        return None
    for name, there in {"references": evaluation.references, "prompts": evaluation.prompts}.items():
        if not there:
            raise ConfigError(f"evaluation.{name} is missing; give an option of evaluation that has some, or none.")
    try:
        make(OmegaConf.create({"sampling": {**cfg.sampling, "n": evaluation.n, **evaluation.sampling}}), "sampling")
    except ConfigError as error:
        raise ConfigError(f"evaluation (n and sampling): {error}") from error
    return evaluation


def _logger(cfg: DictConfig) -> Callable[[Path], Tracker]:
    """What makes the tracker of a run; its settings are looked at now, before anything is loaded or recorded."""
    of_run: Callable[[Path], Tracker] = make(cfg, "logger")
    try:
        of_run(Path())
    except ValueError as error:
        raise ConfigError(keyed("logger", error)) from error
    return of_run


def _cache(cfg: DictConfig) -> CacheSettings:
    folder = cfg.cache.dir
    if folder is not None and (not isinstance(folder, str) or not folder.strip()):
        raise ConfigError(f"cache.dir must be the name of a folder, or null, got {folder!r}.")
    return CacheSettings(Path(folder).expanduser() if folder else None)


def _check_data(data: DataSource, stage: Stage) -> None:
    if data.provides not in stage.takes:
        raise ConfigError(
            f"data: {type(data).__name__} cannot feed stage={stage.name}, which needs {' or '.join(stage.takes)}. "
            f"Choose another with data=<option>: {', '.join(options(conf_dir(), 'data'))}."
        )


def _check_attention(loader: Loader, trainer: TrainerSettings) -> None:
    on_cpu = trainer.accelerator == "cpu" or not torch.cuda.is_available()
    if loader.attn_implementation == "flex_attention" and on_cpu:
        raise ConfigError(
            "model.loader.attn_implementation=flex_attention has no backward pass on a CPU: leave it empty, or give "
            "sdpa or eager."
        )


def _check_optimizer(settings: Settings) -> None:
    """Make it for one weight, and see that strategy and precision can take what it is."""
    trainer, strategy = settings.trainer, settings.strategy
    try:
        made = settings.optim.optimizer([torch.nn.Parameter(torch.zeros(1))])
        for name, value in made.defaults.items():
            for number in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(number, (int, float)) and not isinstance(number, bool):
                    require_number(name, number)
        if len(made.defaults.get("betas", "ab")) != 2:
            raise ValueError(f"betas must be two numbers, got {made.defaults['betas']!r}")
    except IndexError as error:
        raise ConfigError("optim.optimizer.betas must be two numbers.") from error
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise ConfigError(keyed("optim.optimizer", error)) from error
    if made.defaults.get("fused") and trainer.precision.endswith("mixed") and trainer.gradient_clip:
        raise ConfigError(
            f"optim.optimizer.fused: Lightning clips no gradients of a fused optimiser under "
            f"trainer.precision={trainer.precision}; give optim.optimizer.fused=null or trainer.gradient_clip=0."
        )
    if trainer.precision not in strategy.precisions:
        known = ", ".join(strategy.precisions)
        raise ConfigError(f"trainer.precision must be one of {known}, got {trainer.precision!r}.")
    _check_epsilon(settings, made)
    if strategy.shards and type(made).__module__.startswith("bitsandbytes"):
        raise ConfigError("optim: 8-bit optimisers cannot take weights that strategy=fsdp2 splits; give optim=adamw.")
    if strategy.shards and settings.adapter and settings.adapter.quantisation:
        raise ConfigError("adapter: strategy=fsdp2 cannot split 4-bit weights; give adapter=lora, or strategy=ddp.")


def _check_arithmetic(settings: Settings) -> None:
    cast, held = settings.arithmetic.products, settings.model.loader.dtype
    if cast and held in ("bfloat16", "float16") and held != cast:
        raise ConfigError(
            f"trainer.precision={settings.trainer.precision} computes in {cast}, which does not go with "
            f"model.loader.dtype={held}: give model.loader.dtype=float32, or a trainer.precision of the same kind."
        )


def _check_epsilon(settings: Settings, made: torch.optim.Optimizer) -> None:
    """Torch's plain optimisers add their epsilon in the dtype of the weights, where it keeps them from 0 / 0."""
    held = settings.arithmetic.weights or settings.model.loader.dtype
    epsilon = made.defaults.get("eps")
    plain = type(made).__module__.startswith("torch.optim") and not made.defaults.get("fused")
    if plain and epsilon and not settings.adapter and not torch.tensor(epsilon, dtype=torch_dtype(held)):
        raise ConfigError(
            f"optim.optimizer.eps={epsilon:g} is 0 in {held}, which the weights are trained in: a weight without a "
            f"gradient would become NaN. Give optim.optimizer.eps=1e-6 or more, or another trainer.precision."
        )
