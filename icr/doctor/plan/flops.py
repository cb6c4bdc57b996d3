"""Floating-point operations of a pass, by the usual count: two per parameter and token, four per pair of positions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from icr.logps.family import stated


@dataclass(frozen=True)
class Cost:
    """What a forward pass of a model costs.

    Attributes:
        body: parameters that every token passes through: all matrices but embeddings and the head.
        head: elements of the head's matrix, which only tokens that predict something pass through.
        attention: layers × heads × head size.
        cache: bytes of keys and values per token.
    """

    body: int
    head: int
    attention: int
    cache: int

    def forward(self, tokens: float, predicted: float, pairs: float) -> float:
        """FLOPs of a forward pass: `2·body·tokens + 2·head·predicted + 4·attention·pairs`.

        Args:
            tokens: that pass through the layers.
            predicted: that pass through the head.
            pairs: of query and key positions: the square of a row's width, as kernels that take a mask compute it.
        """
        return 2 * self.body * tokens + 2 * self.head * predicted + 4 * self.attention * pairs


def cost(model: PreTrainedModel, config: PreTrainedConfig) -> Cost:
    """What `model` costs; its weights need not be there. Of experts, as many as a token is sent to are counted."""
    text = config.get_text_config()
    head = model.get_output_embeddings().weight
    looked_up = (module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding))
    apart = {id(head), *map(id, looked_up)}
    heads = text.num_attention_heads
    size = stated(text, "head_dim") or text.hidden_size // heads
    shared = stated(text, "num_key_value_heads") or heads
    return Cost(
        body=round(sum(_active(name, p, text) for name, p in model.named_parameters() if id(p) not in apart)),
        head=head.numel(),
        attention=text.num_hidden_layers * heads * size,
        cache=2 * text.num_hidden_layers * shared * size * head.element_size(),
    )


def _active(name: str, parameter: torch.nn.Parameter, text: PreTrainedConfig) -> float:
    if parameter.ndim < 2:
        return 0
    experts: int | None = stated(text, "num_experts") or stated(text, "num_local_experts")
    if experts and ".experts." in name:
        chosen: int = text.num_experts_per_tok
        return parameter.numel() * chosen / experts
    return parameter.numel()
