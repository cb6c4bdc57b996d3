"""Settings about GGUF files: `model.gguf_file`, and uses that such a file has not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf, open_dict

from icr.errors import ConfigError
from icr.models.folder import base_of
from icr.models.gguf import SUFFIX, gguf_file, refuse_gguf

if TYPE_CHECKING:
    from icr.config.settings import Settings


def with_gguf_file(cfg: DictConfig) -> DictConfig:
    """The configuration with `model.path` naming the file, so that whatever refers to it means the file.

    Raises:
        ConfigError: `model.gguf_file` is no name of such a file, or `model.path` has one already.
    """
    file = OmegaConf.select(cfg, "model.gguf_file")
    if file is None or OmegaConf.is_missing(cfg.model, "path"):
        return cfg
    path = cfg.model.path
    if not isinstance(file, str) or not file.lower().endswith(SUFFIX) or Path(file).is_absolute():
        raise ConfigError(f"model.gguf_file must name a file of model.path that ends with {SUFFIX}, got {file!r}.")
    if gguf_file(str(path)):
        raise ConfigError(f"model.gguf_file={file}: model.path={path} names a GGUF file already; give one alone.")
    named = cfg.copy()
    with open_dict(named):
        named.model.path = f"{str(path).rstrip('/')}/{file}"
    return named


def check_gguf(settings: Settings) -> None:
    """Refuse GGUF files, and adapters that lie on one, where an engine samples from them or they are quantised anew.

    Raises:
        ConfigError: saying how to make an ordinary folder of the file.
    """
    start, pair, adapter = settings.model.path, settings.reward_pair, settings.adapter
    if settings.sampling.tokens_per_batch is None:
        baselines = settings.stage.baselines.values() if settings.evaluation else ()
        for path in (start, *baselines):
            refuse_gguf(_weights(path), "Sampling by vLLM")
    quantisation = adapter.quantisation if adapter else None
    for path in (start, pair.policy, pair.reference) if quantisation else ():
        weights = _weights(path)
        if quantisation and gguf_file(weights) and quantisation.reaches(path == start or weights != path):
            refuse_gguf(weights, "adapter=qlora")


def _weights(path: str) -> str:
    """The model at `path`, or under the adapter there. A hub is not asked: what lies there is on no file of ours."""
    return (base_of(path) if Path(path).is_dir() else None) or path
