"""From a layout to log-probs."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from icr.logps.attention import run, shares_prompts
from icr.logps.layout import TokenLayout


def token_logps(model: PreTrainedModel, layout: TokenLayout) -> torch.Tensor:
    """`log π(y_t | x, y_<t)` of every response token of the layout, at temperature 1.

    Rows that share a prompt are taken apart for a model that cannot run them (`shares_prompts`).

    Returns:
        Shape `[T]`, float32, nats, in the order of `layout.targets`; differentiable where gradients are enabled.
    """
    if layout.shared and not shares_prompts(model):
        layout = layout.apart()
    return run(model, layout)


def sequence_sums(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Sum consecutive segments of `values`: `log π(y|x) = Σ_t log π(y_t | x, y_<t)`.

    Args:
        values: shape `[T]`.
        lengths: shape `[S]`, sums to `T`.

    Returns:
        Shape `[S]`, float64: a float32 sum of a thousand nats is already off by 1e-4.

    Raises:
        ValueError: the lengths do not sum to `T`.
    """
    if int(lengths.sum()) != len(values):
        raise ValueError(f"lengths sum to {int(lengths.sum())}, but there are {len(values)} values")
    index = torch.repeat_interleave(torch.arange(len(lengths), device=values.device), lengths)
    return torch.zeros(len(lengths), dtype=torch.float64, device=values.device).index_add(0, index, values.double())


def head_sums(values: torch.Tensor, lengths: torch.Tensor, heads: torch.Tensor) -> torch.Tensor:
    """Sum the beginnings of consecutive segments of `values`: `Σ_{t ≤ h} log π(y_t | x, y_<t)`.

    Args:
        values: shape `[T]`.
        lengths: shape `[S]`, sums to `T`.
        heads: `h` of each segment, at most its length. Shape `[S]`.

    Returns:
        Shape `[S]`, float64.

    Raises:
        ValueError: the lengths do not sum to `T`.
    """
    return sequence_sums(values, torch.stack([heads, lengths - heads], dim=1).flatten())[::2]
