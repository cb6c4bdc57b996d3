"""The language-model head at response positions only, in tiles, reduced in float32."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

CHUNK_ELEMENTS = 2**22
"""Logits held at once in float32 (16 MiB: buffers above 32 MiB get fresh pages from the system each time)."""

CHUNK_ROWS = 1024
"""Positions that a tile of logits has at most."""

KEPT_ELEMENTS = 2**24
"""Up to so many logits (64 MiB) are kept for the backward pass, which otherwise computes them again."""


def selected_logps(model: PreTrainedModel, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Log-prob of each target: `logit[target] − logsumexp(logits)`, both in float32.

    Args:
        model: its output embedding, and its config's logit scaling and soft-capping, are used.
        hidden: final hidden states at the positions that predict the targets. Shape `[T, H]`.
        targets: token ids. Shape `[T]`.

    Returns:
        Shape `[T]`, float32, nats. Only `CHUNK_ELEMENTS` logits exist at a time; with gradient, they are computed again
        tile by tile in the backward pass, unless all of them are at most `KEPT_ELEMENTS`.

    Raises:
        ValueError: the shapes do not fit.
    """
    if hidden.ndim != 2 or targets.shape != hidden.shape[:1]:
        raise ValueError(f"hidden {tuple(hidden.shape)} and targets {tuple(targets.shape)} do not fit")
    head = model.get_output_embeddings()
    if _is_plain(head):
        return _TiledLogps.apply(hidden, head.weight, head.bias, targets, model.config, torch.is_grad_enabled())
    return _by_calling(head, hidden, targets, model.config)


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


def _is_plain(head: torch.nn.Module) -> bool:
    """Whether the head is its weight and bias and nothing else: no adapter, quantisation, sharding or hook."""
    hooks = (head._forward_hooks, head._forward_pre_hooks, head._backward_hooks, head._backward_pre_hooks)
    return type(head) is torch.nn.Linear and type(head.weight) is torch.nn.Parameter and not any(hooks)


def _by_calling(head, hidden: torch.Tensor, targets: torch.Tensor, config) -> torch.Tensor:
    size = max(1, CHUNK_ELEMENTS // head.weight.shape[0])

    def chunk_logps(states: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        logits = scaled(head(states).float(), config)
        return logits.gather(1, ids[:, None]).squeeze(1) - logits.logsumexp(1)

    chunks = list(zip(hidden.split(size), targets.split(size), strict=True))
    if len(chunks) == 1 or not torch.is_grad_enabled():
        return torch.cat([chunk_logps(*chunk) for chunk in chunks])
    return torch.cat([checkpoint(chunk_logps, *chunk, use_reentrant=False) for chunk in chunks])


class _TiledLogps(torch.autograd.Function):
    """Log-probs under a plain linear head, a tile of positions by vocabulary at a time.

    Tiles of one part of the vocabulary follow each other, so that the gradient of that part of the weight is summed up
    in one small float32 buffer, and written once.
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, config, with_grad):
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        count = len(hidden)
        largest = hidden.new_full((count,), -torch.inf, dtype=torch.float32)
        total, chosen = torch.zeros_like(largest), torch.zeros_like(largest)
        # What follows a head with scaling has a slope that needs the logits themselves.
        keep = with_grad and count * len(weight) <= KEPT_ELEMENTS and (probe := largest[:1]) is scaled(probe, config)
        kept = []
        for part, rows in _tiles(count, len(weight)):
            tile = scaled(_logits(hidden, weight, bias, part, rows, dtype).float(), config)
            local, inside = _local(targets[rows], part)
            chosen[rows] = torch.where(inside, tile.gather(1, local[:, None]).squeeze(1), chosen[rows])
            highest = torch.maximum(largest[rows], tile.amax(1))
            total[rows] *= torch.exp(largest[rows] - highest)
            tile = tile.sub_(highest[:, None]).exp_()
            total[rows] += tile.sum(1)
            largest[rows] = highest
            if keep:
                kept.append((tile, highest))
        norm = largest + total.log()
        ctx.save_for_backward(hidden, weight, bias, targets, norm)
        ctx.config, ctx.dtype, ctx.kept = config, dtype, kept
        return chosen - norm

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        hidden, weight, bias, targets, norm = ctx.saved_tensors
        of_hidden, of_weight, of_bias = (
            torch.zeros_like(tensor, dtype=dtype) if wanted else None
            for tensor, dtype, wanted in zip(
                (hidden, weight, bias), (torch.float32, weight.dtype, torch.float32), ctx.needs_input_grad, strict=False
            )
        )
        gradient, kept = gradient.float(), iter(ctx.kept)
        for part, rows in _tiles(len(hidden), len(weight)):
            # d log p[target] / d logits = onehot(target) − p.
            down = -gradient[rows]
            if ctx.kept:
                tile, highest = next(kept)
                logits, tile = None, tile * (down * torch.exp(highest - norm[rows]))[:, None]
            else:
                logits = _logits(hidden, weight, bias, part, rows, ctx.dtype).float()
                with torch.enable_grad():
                    raised = scaled(logits.requires_grad_(), ctx.config)
                tile = raised.detach() if raised is logits else raised.detach().clone()
                tile.sub_(norm[rows, None]).exp_().mul_(down[:, None])
            local, inside = _local(targets[rows], part)
            tile.scatter_add_(1, local[:, None], torch.where(inside, gradient[rows], 0)[:, None])
            if logits is not None and raised is not logits:
                (tile,) = torch.autograd.grad(raised, logits, tile)
            tile = tile.to(ctx.dtype)
            if of_hidden is not None:
                of_hidden[rows] += tile @ weight[part].to(ctx.dtype)
            if of_weight is not None:
                if rows.start == 0:
                    summed = torch.zeros_like(weight[part], dtype=torch.float32)
                summed += tile.T @ hidden[rows].to(ctx.dtype)
                if rows.stop == len(hidden):
                    of_weight[part] = summed
            if of_bias is not None:
                of_bias[part] += tile.sum(0, dtype=torch.float32)
        of_hidden = None if of_hidden is None else of_hidden.to(hidden.dtype)
        of_bias = None if of_bias is None else of_bias.to(bias.dtype)
        return of_hidden, of_weight, of_bias, None, None, None


def _tiles(count: int, vocabulary: int) -> Iterator[tuple[slice, slice]]:
    """Parts of the vocabulary, and within each the rows, of at most `CHUNK_ELEMENTS` logits."""
    height = max(1, min(count, CHUNK_ROWS, CHUNK_ELEMENTS))
    width = max(1, min(vocabulary, CHUNK_ELEMENTS // height))
    for start in range(0, vocabulary, width):
        for row in range(0, count, height):
            yield slice(start, min(start + width, vocabulary)), slice(row, min(row + height, count))


def _logits(hidden, weight, bias, part: slice, rows: slice, dtype: torch.dtype) -> torch.Tensor:
    bias = None if bias is None else bias[part].to(dtype)
    return torch.nn.functional.linear(hidden[rows].to(dtype), weight[part].to(dtype), bias)


def _local(targets: torch.Tensor, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Places of the targets in this part of the vocabulary, and which of them are in it."""
    inside = (targets >= part.start) & (targets < part.stop)
    return torch.where(inside, targets - part.start, 0), inside
