"""The language-model head at response positions only, in chunks, reduced in float32."""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

CHUNK_ELEMENTS = 2**24
"""Logits held at once in float32 (64 MiB)."""


def selected_logps(model: PreTrainedModel, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Log-prob of each target: `logit[target] − logsumexp(logits)`, both in float32.

    Args:
        model: its output embedding, and its config's logit scaling and soft-capping, are used.
        hidden: final hidden states at the positions that predict the targets. Shape `[T, H]`.
        targets: token ids. Shape `[T]`.

    Returns:
        Shape `[T]`, float32, nats. Only `CHUNK_ELEMENTS` logits exist at a time; with gradient, they are computed again
        chunk by chunk in the backward pass.

    Raises:
        ValueError: the shapes do not fit.
    """
    if hidden.ndim != 2 or targets.shape != hidden.shape[:1]:
        raise ValueError(f"hidden {tuple(hidden.shape)} and targets {tuple(targets.shape)} do not fit")
    head = model.get_output_embeddings()
    size = max(1, CHUNK_ELEMENTS // head.weight.shape[0])

    def chunk_logps(states: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        logits = scaled(head(states).float(), model.config)
        return logits.gather(1, ids[:, None]).squeeze(1) - logits.logsumexp(1)

    chunks = list(zip(hidden.split(size), targets.split(size), strict=True))
    if len(chunks) == 1 or not torch.is_grad_enabled():
        return torch.cat([chunk_logps(*chunk) for chunk in chunks])
    return torch.cat([checkpoint(chunk_logps, *chunk, use_reentrant=False) for chunk in chunks])


def scaled(logits: torch.Tensor, config) -> torch.Tensor:
    """What some families do to their logits after the head, by the names in their configs.

    Cohere and Falcon-H1 multiply, Granite divides, HyperCLOVA X multiplies by what Granite divides by, Gemma soft-caps.
    """
    config = config.get_text_config()
    for name in ("logit_scale", "lm_head_multiplier", "output_multiplier"):
        if scale := getattr(config, name, None):
            logits = logits * scale
    if divisor := getattr(config, "logits_scaling", None):
        logits = logits * divisor if config.model_type.startswith("hyperclovax") else logits / divisor
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    return logits
