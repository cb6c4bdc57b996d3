"""The head of a language model and its gradient, a tile of logits at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from transformers import PretrainedConfig

from icr.logps.family import stated

CHUNK_ELEMENTS = 2**22
"""Logits held at once in float32 (16 MiB: on a CPU, buffers above 32 MiB get fresh pages from the system each time)."""

CHUNK_ROWS = 1024
"""Positions that a tile of logits has at most."""

GPU_ELEMENTS, GPU_ROWS = 2**26, 8192
"""The same elsewhere (256 MiB): fewer and larger products."""

KEPT_ELEMENTS = 2**24
"""Up to so many logits (64 MiB) are kept for the backward pass, which otherwise computes them again."""


SCALES = ("logit_scale", "lm_head_multiplier", "output_multiplier", "logits_scaling")
SOFTCAP = "final_logit_softcapping"
"""Names that families have in their configurations for what follows the head."""


def is_scaled(config: PretrainedConfig) -> bool:
    """Whether the family multiplies or divides its logits."""
    return any(stated(config, name) for name in SCALES)


def scaled(logits: torch.Tensor, config: PretrainedConfig) -> torch.Tensor:
    """What some families do to their logits after the head, by the names in their (text) configs.

    Cohere and Falcon-H1 multiply, Granite divides, HyperCLOVA X multiplies by what Granite divides by, Gemma soft-caps.
    """
    *factors, divisor = SCALES
    for name in factors:
        if scale := stated(config, name):
            logits = logits * scale
    if scale := stated(config, divisor):
        logits = logits * scale if config.model_type.startswith("hyperclovax") else logits / scale
    if cap := stated(config, SOFTCAP):
        logits = torch.tanh(logits / cap) * cap
    return logits


class TiledLogps(torch.autograd.Function):
    """Log-probs under a plain linear head, a tile of positions by vocabulary at a time.

    `apply(hidden [T, H], weight [V, H], bias [V] or None, targets [T], config, with_grad)` gives `[T]`, float32, nats.
    Tiles of one part of the vocabulary follow each other, so that the gradient of that part of the weight is summed up
    in one small float32 buffer, and written once. Under a head that is not trained the slope is had in the same pass,
    from the tiles while they are there:

        d log p[target] / d hidden = (1 − p[target])·w[target] − Σ_{v ≠ target} p[v]·w[v]
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        config: PretrainedConfig,
        with_grad: bool,
    ) -> torch.Tensor:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        count = len(hidden)
        largest = hidden.new_full((count,), -torch.inf, dtype=torch.float32)
        total, chosen = torch.zeros_like(largest), torch.zeros_like(largest)
        # What follows a head with scaling has a slope that needs the logits themselves.
        simple = with_grad and (probe := largest[:1]) is scaled(probe, config)
        keep = simple and count * len(weight) <= KEPT_ELEMENTS
        ahead = simple and not keep and ctx.needs_input_grad[:3] == (True, False, False)
        others = torch.zeros_like(hidden, dtype=torch.float32) if ahead else hidden
        kept = []
        for part, rows in _tiles(count, weight):
            tile = scaled(_logits(hidden, weight, bias, part, rows, dtype).float(), config)
            local, inside = _local(targets[rows], part)
            chosen[rows] = torch.where(inside, tile.gather(1, local[:, None]).squeeze(1), chosen[rows])
            highest = torch.maximum(largest[rows], tile.amax(1))
            shrunk = torch.exp(largest[rows] - highest)
            total[rows] *= shrunk
            tile = tile.sub_(highest[:, None]).exp_()
            total[rows] += tile.sum(1)
            largest[rows] = highest
            if keep:
                kept.append((tile, highest))
            if ahead:
                tile.scatter_(1, local[:, None], tile.gather(1, local[:, None]).masked_fill(inside[:, None], 0))
                others[rows] = others[rows] * shrunk[:, None] + tile.to(dtype) @ weight[part].to(dtype)
        logps = chosen - (norm := largest + total.log())
        ctx.config, ctx.kept, ctx.ahead = config, kept, ahead
        ctx.dtype = hidden.dtype if ahead else dtype
        if ahead:
            own = weight[targets].to(dtype).float() * -torch.expm1(logps)[:, None]
            ctx.save_for_backward(own - others / total[:, None])
        else:
            ctx.save_for_backward(hidden, weight, bias, targets, norm)
        return logps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        if ctx.ahead:
            (slope,) = ctx.saved_tensors
            return (slope * gradient[:, None]).to(ctx.dtype), None, None, None, None, None
        hidden, weight, bias, targets, norm = ctx.saved_tensors
        of_hidden, of_weight, of_bias = (
            torch.zeros_like(tensor, dtype=dtype) if wanted else None
            for tensor, dtype, wanted in zip(
                (hidden, weight, bias), (torch.float32, weight.dtype, torch.float32), ctx.needs_input_grad, strict=False
            )
        )
        gradient, kept = gradient.float(), iter(ctx.kept)
        for part, rows in _tiles(len(hidden), weight):
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


def _tiles(count: int, weight: torch.Tensor) -> Iterator[tuple[slice, slice]]:
    """Parts of the vocabulary, and within each the rows, of at most so many logits as fit the device's caches."""
    rows, elements = (CHUNK_ROWS, CHUNK_ELEMENTS) if weight.device.type == "cpu" else (GPU_ROWS, GPU_ELEMENTS)
    vocabulary = len(weight)
    height = max(1, min(count, rows, elements))
    width = max(1, min(vocabulary, elements // height))
    for start in range(0, vocabulary, width):
        for row in range(0, count, height):
            yield slice(start, min(start + width, vocabulary)), slice(row, min(row + height, count))


def _logits(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    part: slice,
    rows: slice,
    dtype: torch.dtype,
) -> torch.Tensor:
    bias = None if bias is None else bias[part].to(dtype)
    return torch.nn.functional.linear(hidden[rows].to(dtype), weight[part].to(dtype), bias)


def _local(targets: torch.Tensor, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Places of the targets in this part of the vocabulary, and which of them are in it."""
    inside = (targets >= part.start) & (targets < part.stop)
    return torch.where(inside, targets - part.start, 0), inside
