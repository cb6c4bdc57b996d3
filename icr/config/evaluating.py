"""From a composed configuration to what `icr evaluate` needs of it, checked, before any model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from omegaconf import DictConfig, OmegaConf

from icr.checks import require_integer
from icr.config.assemble import adapter_of, evaluation_of, model_of, trainer_of
from icr.config.gguf import with_gguf_file
from icr.config.nodes import make, optional, require_given, typed, values_of
from icr.config.settings import Languages
from icr.errors import ConfigError
from icr.evaluation import Benchmark
from icr.models import Loader
from icr.sampling import Sampler
from icr.training import TrainerSettings

NEEDED = ("langs", "model", "adapter", "sampling", "judge", "benchmark", "trainer", "evaluate")


@dataclass(frozen=True)
class EvaluateSettings:
    """The keys of `evaluate` in `conf/evaluate.yaml`, which documents them."""

    run: str | None = field(compare=False)
    models: Mapping[str, str]
    answers: Mapping[str, str]
    only: list[str] | None
    baseline: str | None
    controls: bool


@dataclass(frozen=True)
class Measurement:
    """What is measured, how models are loaded and sampled from, and by which benchmark."""

    evaluate: EvaluateSettings
    langs: Languages
    path: str | None
    """Of the model, where one is given by itself."""
    loader: Loader
    quantisation: object
    """Of adapters' frozen weights; None where there is none."""
    sampling: Sampler
    trainer: TrainerSettings
    benchmark: Benchmark
    baselines: Mapping[str, str]
    """Models that a run starts from, by name."""
    result: str
    """Name of a round's model."""
    seed: int


def build_evaluation(cfg: DictConfig) -> Measurement:
    """Resolve, check and instantiate what is needed, and nothing that only a training needs.

    Raises:
        ConfigError: a setting is missing, unknown, of the wrong type, out of range, or does not fit another one.
    """
    chosen = typed(EvaluateSettings, "evaluate", values_of(cfg, "evaluate"))
    if not (chosen.run or chosen.models or chosen.answers) and OmegaConf.is_missing(cfg.model, "path"):
        raise ConfigError(
            "Nothing is given to measure: icr evaluate <directory of a run>, icr evaluate <folder of a model>, or "
            "evaluate.answers.<name>=<outputs>.{language}.json."
        )
    cfg = with_gguf_file(cfg)
    # A benchmark of its own takes the prompts of an evaluation at most: nobody has to give reference answers.
    of_evaluation = "evaluation.prompts" if "_target_" in cfg.benchmark else "evaluation"
    require_given(cfg, [*NEEDED, of_evaluation], "icr evaluate")
    try:
        require_integer("seed", cfg.seed)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error
    adapter = adapter_of(cfg)
    benchmark = optional(cfg, "benchmark") or evaluation_of(cfg)
    if benchmark is None:
        raise ConfigError(
            "evaluation: benchmark=win_rate measures what an evaluation describes: choose one with "
            "evaluation=<option>, such as x_alpacaeval."
        )
    stage = cfg.stage
    return Measurement(
        evaluate=chosen,
        langs=typed(Languages, "langs", values_of(cfg, "langs")),
        path=None if OmegaConf.is_missing(cfg.model, "path") else cfg.model.path,
        loader=model_of(cfg, adapter).loader,
        quantisation=adapter and adapter.quantisation,
        sampling=make(cfg, "sampling"),
        trainer=trainer_of(cfg),
        benchmark=benchmark,
        baselines=values_of(cfg, "stage.baselines") if chosen.run else {},
        result=stage.result,
        seed=cfg.seed,
    )
