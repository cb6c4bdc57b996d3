"""Attention windows cut short for a while, so that a short sequence is longer than they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PretrainedConfig, PreTrainedModel

SHORT = 24
"""Tokens of a window that was cut."""

NAMES = ("attention_chunk_size", "local_attention", "index_topk")
"""What bounds the tokens that a layer sees, under names without the word `window`."""


@contextmanager
def shortened(model: PreTrainedModel) -> Iterator[list[int]]:
    """Windows of more than `SHORT` tokens are of `SHORT` tokens, in the configuration and in every module.

    Gives the lengths that they had. A window that a model has worked into its weights or masks stays as it is.
    """
    cut = [(holder, name, value) for holder in _holders(model) for name, value in _windows(holder)]
    try:
        for holder, name, _ in cut:
            setattr(holder, name, SHORT)
        yield sorted({value for *_, value in cut})
    finally:
        for holder, name, value in cut:
            setattr(holder, name, value)


def _holders(model: PreTrainedModel) -> list[torch.nn.Module | PretrainedConfig]:
    """The modules, and the configurations that they read."""
    modules = list(model.modules())
    configs = [value for module in modules for value in vars(module).values() if isinstance(value, PretrainedConfig)]
    configs += [model.config, model.config.get_text_config()]
    return [*modules, *{id(config): config for config in configs}.values()]


def _windows(holder: torch.nn.Module | PretrainedConfig) -> Iterator[tuple[str, int]]:
    for name, value in vars(holder).items():
        stated = "window" in name and not name.endswith(("layers", "pattern"))
        if (stated or name in NAMES) and type(value) is int and value > SHORT:
            yield name, value
