"""Dropout and its like switched off, so that a model computes the same in training as in evaluation."""

from __future__ import annotations

import copy

import torch
from transformers import PretrainedConfig, PreTrainedModel

JITTER: dict[str, float | None] = {"jitter_noise": 0.0, "input_jitter_noise": 0.0, "moe_jitter_eps": None}
"""Noise on what routes tokens to experts, by its names in modules, and the value that is none of it.

Not PhiMoE's `router_jitter_noise`, which decides between experts in evaluation mode too.
"""


def switch_off(model: PreTrainedModel) -> None:
    """No dropout, layer dropout or router jitter, whether a module has it, a number, or the configuration.

    Some families read the configuration in each forward pass (Falcon, GPT-J, Persimmon): their layers get a copy
    without dropout, and `model.config` keeps what whoever loads the model next should find. What is left is found out
    when a training starts: `icr.logps.require_calm_training`.
    """
    calm: dict[int, PretrainedConfig] = {}
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in list(vars(module).items()):
            if isinstance(value, PretrainedConfig) and not isinstance(module, PreTrainedModel) and _dropout(value):
                if id(value) not in calm:
                    calm[id(value)] = _without_dropout(value)
                setattr(module, name, calm[id(value)])
            elif name in JITTER and value is not None:
                setattr(module, name, JITTER[name])
        for name in _dropout(module):
            setattr(module, name, 0.0)


def _dropout(holder: torch.nn.Module | PretrainedConfig) -> list[str]:
    """Attention and layer dropout are plain numbers, such as `attention_dropout`, `attn_pdrop` and `layerdrop`."""
    return [name for name, value in vars(holder).items() if "drop" in name and isinstance(value, float) and value]


def _without_dropout(config: PretrainedConfig) -> PretrainedConfig:
    calm = copy.copy(config)
    for name in _dropout(config):
        setattr(calm, name, 0.0)
    return calm
