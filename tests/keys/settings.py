"""Every setting of `conf/`, another value for each, and the stages whose keys that changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from icr import config
from icr.evaluation import Setting
from icr.keys import Keys
from icr.pocket.assets import folder
from icr.rundir import Key

COMPOSITIONS = {
    "": [],
    "loss=kto": ["loss=kto"],
    "loss=ipo": ["loss=ipo"],
    "loss=dpo_norm": ["loss=dpo_norm"],
    "loss=ld_dpo": ["loss=ld_dpo"],
    "loss=nll": ["loss=nll"],
    "adapter=lora": ["adapter=lora"],
    "adapter=qlora": ["adapter=qlora", "model.loader.frozen=[]"],
    "sampling=vllm": ["sampling=vllm"],
    "sampling=vllm_server": ["sampling=vllm_server", "sampling.urls=[http://a:1]"],
    "reward_prompt=translate": ["reward_prompt=translate"],
    "reward_prompt=translate_lexicon": ["reward_prompt=translate_lexicon"],
    "gate=language": ["gate=language"],
    "replay=file": ["replay=file", "replay.file={files}/a.jsonl"],
    "reward=model": ["reward=model", f"reward.path={folder('blank')}"],
    "gate=agreement": ["gate=agreement", "reward_prompt@gate.reward_prompt=translate_lexicon"],
    "diagnosis=every_prompt": ["diagnosis=every_prompt"],
    "pairing=random": ["pairing=random"],
    "pairing=band": ["pairing=band"],
    "pairing=disjoint": ["pairing=disjoint"],
    "length_control=off": ["length_control='off'"],
    "judge=openai": ["judge=openai", "judge.endpoint.model=m", "~evaluation.reward_prompts"],
    "reward=judge": ["stage=english_dpo", "reward=judge"],
    "optim=adamw8bit": ["optim=adamw8bit"],
    "optim=paged_adamw8bit": ["optim=paged_adamw8bit"],
    "strategy=fsdp2": ["strategy=fsdp2"],
    "controls=standard": ["controls=standard"],
    "logger=wandb": ["logger=wandb"],
    "logger=mlflow": ["logger=mlflow"],
    "data=pocket_demonstrations": ["stage=sft", "data=pocket_demonstrations"],
    "data=parallel": ["data=parallel", "data.dir={files}/prompts", "model=pocket", "langs.codes=[en,sw]"],
    "data=demonstrations": ["stage=sft", "data=demonstrations", "data.file={files}/a.jsonl", "model=pocket_sft"],
    "evaluation=x_alpacaeval": [
        "evaluation=x_alpacaeval",
        "evaluation.prompts.dir={files}/alpaca",
        "evaluation.prompts.full_set=2",
        "evaluation.references.files='{files}/alpaca/{language}.json'",
        "langs.codes=[en,sw]",
    ],
    "data=preferences": ["stage=english_dpo", "data=preferences", "data.file={files}/a.jsonl", "model=pocket_sft"],
}
"""Choices that together show every setting, by the name under which the table lists what only they have."""

OTHER = {
    "diagnosis.limits.over_baselines.no_go": -0.1,
    "diagnosis.stop": "no_go",
    "adapter.quantisation.type": "fp4",
    "adapter.target_modules": ["q_proj"],
    "data.cut": True,
    "data.dir": "{files}/others",
    "data.file": "{files}/b.jsonl",
    "data.id_field": "other_id",
    "data.on_missing": "drop",
    "data.prompts_per_language": 1,
    "data.text_field": "other",
    "evaluation.prompts.prompts_per_language": 1,
    "evaluation.sampling": {"temperature": 0.5},
    "evaluation.language_check.confidence": 0.8,
    "evaluation.language_check.languages": ["en", "sw", "de"],
    "evaluation.prompts.dir": "{files}/alpaca_elsewhere",
    "evaluation.prompts.full_set": None,
    "evaluation.references.files": "{files}/alpaca_elsewhere/{language}.json",
    "evaluation.sampling.top_k": 5,
    "evaluation.sampling.top_p": 0.8,
    "evaluation.difficulty": "joint",
    "evaluation.seed": 7,
    "evaluation.split": "dev",
    "judge.endpoint.answers_as": ["x"],
    "judge.endpoint.base_url": "http://b:2/v1",
    "judge.endpoint.completion_price": 1.0,
    "judge.endpoint.extra": {"top_p": 0.5},
    "judge.endpoint.max_requests": 5,
    "judge.endpoint.max_tokens": 5,
    "judge.endpoint.prompt_price": 1.0,
    "judge.endpoint.revision": "x",
    "judge.orders": "first",
    "judge.prompt.first": ["C"],
    "judge.prompt.second": ["C"],
    "judge.prompt.tie": ["C"],
    "langs.codes": ["en"],
    "langs.names": {"en": "Anglais", "sw": "Kiswahili", "de": "Deutsch"},
    "length_control.unit": "bytes",
    "logger.alerts.length_drift": 2.0,
    "logger.entity": "e",
    "logger.group": "g",
    "logger.tags": ["t"],
    "logger.uri": "http://b:2",
    "loss.nll_reduction": "token",
    "model.loader.attn_implementation": "eager",
    "model.loader.dtype": "bfloat16",
    "model.path": str(folder("blank")),
    "model.reference": str(folder("blank")),
    "model.shape": {"model_type": "llama"},
    "optim.optimizer.betas": [0.5, 0.9],
    "optim.schedule": "linear",
    "pairing.minimum_margin": 0.5,
    "reward.token_clip": 0.5,
    "replay.file": "{files}/b.jsonl",
    "reward.dtype": "float16",
    "reward.path": str(folder("sft")),
    "reward_pair.policy": str(folder("blank")),
    "reward_pair.policy_round": "current",
    "reward_pair.reference": str(folder("blank")),
    "reward_pair.residency": "one",
    "sampling.dtype": "bfloat16",
    "sampling.engine": {"seed": 1},
    "sampling.top_k": 5,
    "sampling.tolerance": 0.5,
    "sampling.urls": ["http://b:2"],
    "cache.dir": "cache",
    "scoring.tokens_per_batch": 512,
    "gate.confidence": 0.8,
    "stage.baselines": {"other": str(folder("blank"))},
    "stage.split": "sft",
    "trainer.accelerator": "auto",
    "trainer.max_steps": 3,
    "trainer.precision": "bf16-true",
    "training_reference": "policy",
    "length_control.upper_bound": 2.0,
    "trainer.threads": 2,
}
"""Another value, where it cannot be told from the first."""

TOGETHER = {
    "made_for": {"made_for": None},
    "model.gguf_file": {"model.gguf_file": "x.gguf", "model.path": "{files}", "made_for": None},
    "model.family": {"model.family": "another", "made_for": None},
    "reward_pair.reference_round": {"reward_pair.reference_round": "previous", "reward_pair.policy_round": "current"},
}
"""Settings that cannot be changed alone, or to one other value only."""

NEEDS = {"stage.baselines": "evaluation"}
"""Settings that count only where another group has chosen a class."""


def write_files(folder: Path) -> None:
    """Prompts and examples in which every setting of a data source matters."""
    texts = {"en": ["Name a river.", "Name a hill."], "sw": ["Taja mto.", "Taja kilima."]}
    for name, extra in (("prompts", ""), ("others", "!")):
        (folder / name).mkdir()
        for code, lines in texts.items():
            rows = [
                {"instruction": f"{text}{extra}", "other": f"{text} ?", "instruction_id": str(n), "other_id": f"o{n}"}
                for n, text in enumerate(lines)
            ]
            (folder / name / f"{code}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("alpaca", "alpaca_elsewhere"):
        (folder / name).mkdir()
        for code, lines in texts.items():
            rows = [{"id": n, "instruction": text, "output": f"{text} …"} for n, text in enumerate(lines)]
            (folder / name / f"{code}.json").write_text(json.dumps(rows))
    (folder / "x.gguf").write_bytes(b"GGUF")
    for name in "ab":
        row = {"prompt": f"Say {name}.", "response": "yes", "chosen": "yes", "rejected": "no", "language": "en"}
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")


def composed(overrides: list[str], files: Path) -> DictConfig:
    """The configuration of one of `COMPOSITIONS`."""
    given = [override.replace("{files}", str(files)) for override in overrides]
    return hydra.compose("config", ["run.dir=somewhere", *given])


def leaves(cfg: DictConfig) -> Iterator[str]:
    """Every setting, dotted: what holds no further settings."""
    for key, node in config.nodes(cfg):
        name = key.rpartition(".")[2]
        group = "." not in key and OmegaConf.is_dict(node)
        filled = OmegaConf.is_dict(node) and not node._is_none() and len(node)
        if not (name.startswith("_") or group or filled):
            yield key


def changed(cfg: DictConfig, key: str, files: Path) -> DictConfig | None:
    """The configuration with another value at `key`.

    None where it repeats another one (an interpolation), or counts for nothing.
    """
    if key in NEEDS and "_target_" not in cfg[NEEDS[key]]:
        return None
    node = dict(config.nodes(cfg))[key]
    if OmegaConf.is_interpolation(node._get_parent(), key.rpartition(".")[2]) and key not in OTHER:
        return None
    new = cfg.copy()
    for place, value in TOGETHER.get(key, {key: _other(key, OmegaConf.select(cfg, key))}).items():
        if isinstance(value, str):
            value = value.replace("{files}", str(files))
        OmegaConf.update(new, place, value, merge=False, force_add=True)
    return new


def keys(cfg: DictConfig) -> dict[str, Key]:
    """Keys of all stages of a run, with all its prompts."""
    settings = config.build(cfg)
    codes, evaluation = settings.langs.codes, settings.evaluation
    prompts, given = [], []
    if settings.samples:
        prompts = settings.data.prompts(codes, settings.stage.split).prompts
    elif settings.data.provides == "demonstrations":
        given = settings.data.demonstrations(codes)
    else:
        given = settings.data.preferences(codes)
    setting = Setting(codes, settings.sampling, lambda given, max_new_tokens: given, settings.model.loader)
    opened = evaluation.open(setting) if evaluation else None
    return Keys(settings, prompts, given, opened, context=2048).of_run()


def changes(before: dict[str, Key], after: dict[str, Key]) -> list[str]:
    """Stages that have another key, or are there on one side alone."""
    return [stage for stage in dict.fromkeys([*before, *after]) if before.get(stage) != after.get(stage)]


def declared_incidental(settings: config.Settings, key: str) -> bool:
    """Whether a field on the way to the setting says `compare=False`."""
    value: Any = settings
    for name in key.split("."):
        if not dataclasses.is_dataclass(value):
            return False
        fields = {field.name: field for field in dataclasses.fields(value)}
        if name not in fields:
            return False
        if not fields[name].compare:
            return True
        value = getattr(value, name)
    return False


def _other(key: str, value: Any) -> Any:
    if key in OTHER:
        return OTHER[key]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.25
    if isinstance(value, str):
        return f"{value}x"
    if OmegaConf.is_list(value):
        return [*value, "x"]
    if value is None or OmegaConf.is_dict(value):
        return {"x": "y"} if OmegaConf.is_dict(value) else "x"
    raise TypeError(f"no other value is known for {key}={value!r}")
