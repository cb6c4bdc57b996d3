"""Models whose every weight was read: transformers fills what it does not find with random numbers, and goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from icr.errors import ModelError
from icr.models.folder import reading
from icr.models.gguf import from_pretrained_of, gguf_file, header_of, refuse_gguf
from icr.models.gguf_reading import check_all_read, gguf_options, quietly

AutoModel = type[AutoModelForCausalLM] | type[AutoModelForSequenceClassification]


def load_whole(path: str, kind: AutoModel = AutoModelForCausalLM, /, **options: object) -> PreTrainedModel:
    """`kind.from_pretrained`, of safetensors or of a GGUF file, whose blocks become ordinary weights.

    Args:
        path: a folder, a hub name, or a GGUF file.
        kind: transformers' class for models with such a head.
        options: more arguments of `from_pretrained`.

    Raises:
        ModelError: it cannot be loaded; a weight is missing or of another shape than the configuration says; or there
            are layers that the configuration has not.
        ConfigError: a GGUF file is to be quantised once more.
    """
    asked: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    source, gguf = from_pretrained_of(path)
    if gguf:
        if "quantization_config" in options:
            refuse_gguf(path, "adapter=qlora")
        asked |= {**gguf, **gguf_options(path)}
    with reading(f"The model {path}"), quietly() if gguf else nullcontext():
        loaded = kind.from_pretrained(source, **asked, **options)
    model, info = cast(tuple[PreTrainedModel, dict[str, Any]], loaded)  # As `output_loading_info` has it.
    surplus = [name for name in info["unexpected_keys"] if re.search(r"\blayers?\.\d+\.", name)]
    _refuse(path, "has not the weights", info["missing_keys"])
    _refuse(path, "has in another shape the weights", [name for name, *_ in info["mismatched_keys"]])
    _refuse(path, "has more layers than its config.json, such as the weights", surplus)
    if gguf:
        check_all_read(model, path)
    return model


def check_files(path: str) -> None:
    """See that the weights in a folder or GGUF file are there and whole, by the heads of their files alone.

    Raises:
        ModelError: there are none in safetensors, or a file is cut short or damaged.
    """
    if gguf_file(path):
        header_of(path)
    folder = Path(path)
    if not folder.is_dir():
        return
    with reading(f"The model {path}"):
        files = {folder / SAFE_WEIGHTS_NAME}
        if (index := folder / SAFE_WEIGHTS_INDEX_NAME).is_file():
            files = {folder / name for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    for file in sorted(files):
        if not file.is_file():
            raise ModelError(f"The model {path} has no {file.name}. Copy it again, or save it as safetensors.")
        with reading(f"The model {path}: {file.name}"), safe_open(file, "pt"):
            pass


def _refuse(path: str, what: str, names: Collection[str]) -> None:
    if names:
        first, more = min(names), len(names) - 1
        others = f" and {more} more" if more else ""
        raise ModelError(
            f"The model {path} {what} {first}{others}: its files and its config.json are not of one model, or a file "
            f"is missing. Copy it again, or save it again with save_pretrained."
        )
