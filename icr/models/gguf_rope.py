"""How a GGUF file scales rotary positions, which transformers does not read: it would compute with other positions.

Llama 3.1 and later divide frequencies by `rope_freqs.weight`; Gemma 3 from 4B on divides those of its full attention by
one factor. Both have a configuration that says the same; for anything else there is a refusal.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from icr.errors import ModelError
from icr.models.gguf_header import Header

FREQUENCIES = "rope_freqs.weight"
LONG = "rope_factors_long.weight"
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""Of all published models; the factor is the file's."""
FLOAT32 = 0
"""ggml's number of the type."""


def restore_scaling(config: PreTrainedConfig, header: Header, path: str) -> None:
    """Have `config` scale positions as the file does.

    Raises:
        ModelError: it scales them in a way that is not known here.
    """
    parameters: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    kinds = {each.get("rope_type") for each in (parameters, *parameters.values()) if isinstance(each, dict)}
    if kinds - {None, "default"}:
        return  # transformers has read it, or it is the family's own.
    kind, factor = header.of_architecture("rope.scaling.type"), header.of_architecture("rope.scaling.factor")
    scaled = kind not in (None, "none") and factor not in (None, 0, 1)
    if FREQUENCIES in header.tensors and header.architecture == "llama":
        config.rope_parameters = _llama3(config, header, path)
    elif scaled and kind == "linear" and header.architecture == "gemma3":
        full = {**parameters["full_attention"], "rope_type": "linear", "factor": factor}
        config.rope_parameters = {**parameters, "full_attention": full}
    elif scaled or FREQUENCIES in header.tensors or LONG in header.tensors:
        raise _refused(path, f"rope.scaling.type={kind}" if scaled else "a table of frequencies")


def _llama3(config: PreTrainedConfig, header: Header, path: str) -> dict[str, Any]:
    """The parameters of Llama 3.1 that give the file's frequencies."""
    stored = header.tensors[FREQUENCIES]
    if stored.type != FLOAT32:
        raise _refused(path, f"frequencies of ggml's type {stored.type}")
    divisors = torch.from_numpy(np.fromfile(header.file, "<f4", stored.count, offset=stored.start))
    plain = config.rope_parameters
    if (divisors == 1).all():
        return dict(plain)
    found = {**plain, "rope_type": "llama3", "factor": float(divisors.max()), **LLAMA3}
    scaled = copy.deepcopy(config)
    scaled.rope_parameters = found
    frequencies, _ = ROPE_INIT_FUNCTIONS["llama3"](scaled)
    exponents = torch.arange(0, 2 * len(frequencies), 2) / (2 * len(frequencies))
    if len(divisors) != len(frequencies) or not torch.allclose(
        frequencies * divisors, plain["rope_theta"] ** -exponents, rtol=1e-4
    ):
        raise _refused(path, "a table of frequencies that is not Llama 3's")
    return found


def _refused(path: str, what: str) -> ModelError:
    return ModelError(
        f"The GGUF file {path} scales the positions of its tokens ({what}), which transformers does not read from such "
        f"a file: log-probs would be those of another model. Give the model as its authors published it."
    )
