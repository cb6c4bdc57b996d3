"""Log-probs from a model's own forward pass to its logits: what the engine is held to, and what stands in for it."""

from __future__ import annotations

import inspect

import torch
from transformers import PreTrainedModel

from icr.logps.layout import IdPair, TokenLayout
from icr.logps.tiles import CHUNK_ELEMENTS, GPU_ELEMENTS


def own_logps(model: PreTrainedModel, layout: TokenLayout, *, together: bool) -> torch.Tensor:
    """Log-prob of each target, `log softmax(model(ids).logits)` in float32. Shape `[T]`, nats.

    Logits exist at the positions that predict targets, where the model can leave out the others (`logits_to_keep`).

    Args:
        layout: a row per sequence.
        together: whether all rows are one padded pass; else each is a pass of its own.
    """
    if together:
        return _reduced(own_logits(model, layout.input_ids, layout.rows, layout.columns), layout.targets)
    widths = (layout.segments >= 0).sum(1)
    parts = []
    for row, width in enumerate(widths.tolist()):
        ours = layout.rows == row
        ids, columns = layout.input_ids[row : row + 1, :width], layout.columns[ours]
        logits = own_logits(model, ids, torch.zeros_like(columns), columns)
        parts.append(_reduced(logits, layout.targets[ours]))
    return torch.cat(parts)


def own_logits(model: PreTrainedModel, ids: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Logits of the model's own forward pass at some places of its input.

    Args:
        ids: shape `[R, L]`.
        rows, columns: the places. Shape `[T]`.

    Returns:
        Shape `[T, V]`.
    """
    options = {}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        options["logits_to_keep"], columns = columns.unique(return_inverse=True)
    return _logits(model, ids, **options)[rows, columns]


def plain_logits(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    """`model(ids).logits` of one sequence, all of them. Shape `[L, V]`."""
    return _logits(model, torch.tensor([ids], device=model.device))[0]


def plain_logps(model: PreTrainedModel, sequence: IdPair) -> torch.Tensor:
    """Log-softmax of these in float32, at the tokens of the response. Shape `[T]`, nats."""
    prompt, response = sequence
    logits = plain_logits(model, [*prompt, *response])[len(prompt) - 1 : -1]
    return _reduced(logits, torch.tensor(response, device=logits.device))


def _logits(model: PreTrainedModel, ids: torch.Tensor, **options: torch.Tensor) -> torch.Tensor:
    caches = "use_cache" in inspect.signature(model.forward).parameters
    logits: torch.Tensor = model(input_ids=ids, **({"use_cache": False} if caches else {}), **options).logits
    return logits


def _reduced(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Log-softmax in float32 at the targets, so many logits at a time as the tiles of the head have."""
    elements = CHUNK_ELEMENTS if logits.device.type == "cpu" else GPU_ELEMENTS
    size = max(1, elements // logits.shape[1])
    parts = [
        part.gather(1, ids[:, None]).squeeze(1).float() - part.float().logsumexp(1)
        for part, ids in zip(logits.split(size), targets.split(size), strict=True)
    ]
    return torch.cat(parts)
