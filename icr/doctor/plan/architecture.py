"""A model's configuration without its weights: from its folder or the cache, else from `model.shape`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

from icr.errors import ModelError, one_line
from icr.logps.family import stated
from icr.models.configuration import configuration
from icr.models.folder import base_of, check_exists
from icr.models.loading import Loader


@dataclass(frozen=True)
class Architecture:
    """What is known of a model before its weights are there.

    Attributes:
        path: folder or hub name of the model, or of an adapter.
        config: its configuration.
        local: whether that is the model's own; else it is what `model.shape` says.
        differences: `name: own value, in model.shape other value`, where both are known and do not agree.
        base: path of the model that an adapter lies on; None where `path` is no adapter.
    """

    path: str
    config: PreTrainedConfig
    local: bool
    differences: tuple[str, ...] = ()
    base: str | None = None

    @property
    def context(self) -> int | None:
        """Most positions that the model takes; None where its configuration states none."""
        positions: int | None = stated(self.config.get_text_config(), "max_position_embeddings")
        return positions


def architecture(path: str, shape: Mapping[str, object] | None, loader: Loader) -> Architecture:
    """The configuration of the model at `path`, which need not be on this machine where `shape` describes it.

    Args:
        shape: `model_type` and whatever else transformers' configuration class takes; None without one.

    Raises:
        ModelError: neither the model nor a usable shape is there.
    """
    try:
        check_exists(path)
        base = base_of(path)
        config = configuration(path, loader.trust_remote_code)
    except ModelError as error:
        if shape is None and Path(path).exists():
            raise
        if shape is None:
            raise ModelError(
                f"The configuration of {path} is not on this machine ({_brief(error)}). Download the "
                f"model, or describe it, as in +model.shape.model_type=llama +model.shape.hidden_size=4096 and so on."
            ) from error
        return Architecture(path, described(shape), local=False)
    return Architecture(path, config, local=True, differences=tuple(_differences(config, shape or {})), base=base)


def described(shape: Mapping[str, object]) -> PreTrainedConfig:
    """The configuration that `model.shape` describes.

    Raises:
        ModelError: it names no model family, or the family does not take it.
    """
    values = dict(shape)
    family = values.pop("model_type", None)
    if not isinstance(family, str) or not family:
        raise ModelError("model.shape must name the family of the model, as in model.shape.model_type=llama.")
    try:
        return AutoConfig.for_model(family, **values)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise ModelError(f"model.shape does not describe a {family} model: {_brief(error)}") from error


def _differences(config: PreTrainedConfig, shape: Mapping[str, object]) -> list[str]:
    own = config.get_text_config()
    named = {name: config.model_type if name == "model_type" else stated(own, name) for name in shape}
    return [
        f"{name}: {named[name]} in the model, {value} in model.shape"
        for name, value in shape.items()
        if value is not None and named[name] != value
    ]


def _brief(error: Exception) -> str:
    return one_line(error, 200).rstrip(".")
