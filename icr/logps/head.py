"""The language-model head at response positions only, reduced in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from icr.logps import fused
from icr.logps.family import stated
from icr.logps.tiles import CHUNK_ELEMENTS, SOFTCAP, TiledLogps, is_scaled, scaled


def selected_logps(model: PreTrainedModel, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Log-prob of each target: `logit[target] − logsumexp(logits)`, both in float32.

    Args:
        model: its output embedding, and its config's logit scaling and soft-capping, are used.
        hidden: final hidden states at the positions that predict the targets. Shape `[T, H]`.
        targets: token ids. Shape `[T]`.

    Returns:
        Shape `[T]`, float32, nats. The logits never exist as a whole: they are computed tile by tile, and again in the
        backward pass, unless all of them are few.

    Raises:
        ValueError: the shapes do not fit.
    """
    if hidden.ndim != 2 or targets.shape != hidden.shape[:1]:
        raise ValueError(f"hidden {tuple(hidden.shape)} and targets {tuple(targets.shape)} do not fit")
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    if not _is_plain(head):
        return called_logps(model, hidden, targets)
    if not is_scaled(config) and fused.serves(hidden, head):
        return fused.fused_logps(hidden, head.weight, targets, stated(config, SOFTCAP))
    arguments = (hidden, head.weight, head.bias, targets, config, torch.is_grad_enabled())
    logps: torch.Tensor = TiledLogps.apply(*arguments)  # type: ignore[no-untyped-call]
    return logps


def _is_plain(head: torch.nn.Module) -> bool:
    """Whether the head is its weight and bias and nothing else: no adapter, quantisation, sharding or hook."""
    hooks = (head._forward_hooks, head._forward_pre_hooks, head._backward_hooks, head._backward_pre_hooks)
    return type(head) is torch.nn.Linear and type(head.weight) is torch.nn.Parameter and not any(hooks)


def called_logps(model: PreTrainedModel, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """As `selected_logps`, by calling the head, which with an adapter, quantisation or hook is no plain matrix."""
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    weight: Any = head.weight
    if weight.is_floating_point():
        hidden = hidden.to(weight.dtype)  # Mamba's residual stream is float32 in any case.
    size = max(1, CHUNK_ELEMENTS // weight.shape[0])

    def chunk_logps(states: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        logits = scaled(head(states).float(), config)
        return logits.gather(1, ids[:, None]).squeeze(1) - logits.logsumexp(1)

    chunks = list(zip(hidden.split(size), targets.split(size), strict=True))
    if len(chunks) == 1 or not torch.is_grad_enabled():
        return torch.cat([chunk_logps(*chunk) for chunk in chunks])
    return torch.cat([checkpoint(chunk_logps, *chunk, use_reentrant=False) for chunk in chunks])
