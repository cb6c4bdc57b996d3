"""Dropout and its like switched off, so that a model computes the same in training as in evaluation."""

from __future__ import annotations

import torch
from transformers import PretrainedConfig, PreTrainedModel

JITTER: dict[str, float | None] = {"jitter_noise": 0.0, "input_jitter_noise": 0.0, "moe_jitter_eps": None}
"""Noise on what routes tokens to experts, by its names in modules, and the value that is none of it.

Not PhiMoE's `router_jitter_noise`, which decides between experts in evaluation mode too.
"""


def switch_off(model: PreTrainedModel) -> None:
    """No dropout, layer dropout or router jitter, whether a module has it, a number, or the configuration.

    Some families read the configuration in each forward pass (Falcon, GPT-J, Persimmon). What is left is found out when
    a training starts: `icr.logps.require_calm_training`.
    """
    configs = {id(config): config for config in (model.config, model.config.get_text_config())}
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name, value in list(vars(module).items()):
            if isinstance(value, PretrainedConfig):
                configs[id(value)] = value
            elif name in JITTER and value is not None:
                setattr(module, name, JITTER[name])
        _zero_dropout(module)
    for config in configs.values():
        _zero_dropout(config)


def _zero_dropout(holder: torch.nn.Module | PretrainedConfig) -> None:
    """Attention and layer dropout are plain numbers, such as `attention_dropout`, `attn_pdrop` and `layerdrop`."""
    for name, value in list(vars(holder).items()):
        if "drop" in name and isinstance(value, float):
            setattr(holder, name, 0.0)
