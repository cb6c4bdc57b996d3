"""A model's configuration, without its weights."""

from __future__ import annotations

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

from icr.errors import ModelError, one_line
from icr.logps.family import stated
from icr.models.folder import CONFIG, base_of


def configuration(path: str, trust_remote_code: bool = False) -> PreTrainedConfig:
    """Configuration of the model at `path`, or of the one at the end of a chain of adapters.

    Raises:
        ModelError: there is none, or transformers cannot make sense of it: its `model_type` is unknown (too new, or a
            family that comes with its own code), or a value is of another kind or does not fit the others.
    """
    while base := base_of(path):
        path = base
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, StrictDataclassError) as error:
        raise ModelError(f"The model {path} cannot be loaded, for its {CONFIG}: {one_line(error)}") from error
    return config


def context_length(path: str, trust_remote_code: bool = False) -> int | None:
    """Most positions that the model at `path` takes, from its configuration; None where it states none.

    Raises:
        ModelError: as `configuration`.
    """
    positions: int | None = stated(configuration(path, trust_remote_code).get_text_config(), "max_position_embeddings")
    return positions
