"""A model's configuration, without its weights."""

from __future__ import annotations

from transformers import AutoConfig, PreTrainedConfig

from icr.errors import ModelError
from icr.logps.family import stated
from icr.models.folder import CONFIG, base_of, check_exists, reading
from icr.models.gguf import gguf_file
from icr.models.gguf_reading import gguf_configuration


def configuration(path: str, trust_remote_code: bool = False) -> PreTrainedConfig:
    """Configuration of the model at `path`, or of the one at the end of a chain of adapters.

    Raises:
        ModelError: there is none, or transformers cannot make sense of it: its `model_type` is unknown (too new, or a
            family that comes with its own code), or a value is of another kind or does not fit the others.
    """
    while base := base_of(path):
        path = base
    check_exists(path)
    if gguf_file(path):
        return gguf_configuration(path)
    with reading(f"The {CONFIG} of {path}"):
        config: PreTrainedConfig = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    return config


def context_length(path: str, trust_remote_code: bool = False) -> int | None:
    """Most positions that the model at `path` takes, from its configuration; None where it states none.

    Raises:
        ModelError: as `configuration`; or it states no number.
    """
    found = configuration(path, trust_remote_code)
    with reading(f"The {CONFIG} of {path}"):
        positions: int | None = stated(found.get_text_config(), "max_position_embeddings")
    if positions is not None and (not isinstance(positions, int) or positions < 1):
        raise ModelError(f"The configuration of {path} says max_position_embeddings={positions!r}; set it right there.")
    return positions
