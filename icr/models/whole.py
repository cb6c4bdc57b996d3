"""Models whose every weight was read: transformers fills what it does not find with random numbers, and goes on."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, cast

from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel

from icr.errors import ModelError, one_line


def load_whole(path: str, **options: object) -> PreTrainedModel:
    """`AutoModelForCausalLM.from_pretrained`, in safetensors.

    Args:
        path: a folder or a hub name.
        options: more arguments of `from_pretrained`.

    Raises:
        ModelError: it cannot be loaded; a weight is missing or of another shape than the configuration says; or there
            are layers that the configuration has not.
    """
    asked: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        loaded = AutoModelForCausalLM.from_pretrained(path, **asked, **options)
    except (OSError, ValueError, TypeError, LookupError, ImportError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"The model {path} cannot be loaded: {one_line(error)}") from error
    model, info = cast(tuple[PreTrainedModel, dict[str, Any]], loaded)  # As `output_loading_info` has it.
    surplus = [name for name in info["unexpected_keys"] if re.search(r"\blayers?\.\d+\.", name)]
    _refuse(path, "has not the weights", info["missing_keys"])
    _refuse(path, "has in another shape the weights", [name for name, *_ in info["mismatched_keys"]])
    _refuse(path, "has more layers than its config.json, such as the weights", surplus)
    return model


def _refuse(path: str, what: str, names: Collection[str]) -> None:
    if names:
        first, more = min(names), len(names) - 1
        others = f" and {more} more" if more else ""
        raise ModelError(
            f"The model {path} {what} {first}{others}: its files and its config.json are not of one model, or a file "
            f"is missing. Copy it again, or save it again with save_pretrained."
        )
