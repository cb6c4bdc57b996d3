"""Sampling from a causal model: one prefill per prompt, K rows, one uniform number per token.

Drawing by the inverse of the cumulative distribution makes a row's tokens a function of the model, the prompt and the
row's own numbers: they do not depend on what else is in the batch, on its order, or on where a cut run resumed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from icr.logps import quick_products

MANY, FEW = 2**15, 4096
"""Of a vocabulary of `MANY` tokens or more, truncation sorts the `FEW` most likely ones, where these will do."""


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    uniforms: np.ndarray,
    *,
    stop_ids: frozenset[int],
    temperature: float,
    top_p: float = 1.0,
    top_k: int | None = None,
) -> list[list[list[int]]]:
    """Sample `K` responses to each of `P` prompts.

    Args:
        model: in evaluation mode.
        prompts: token ids.
        uniforms: numbers in [0, 1), one per token. Shape `[P, K, max_new_tokens]`.
        stop_ids: a response ends with the first of these, which it includes.
        temperature: divides the logits; 0 takes the most likely token.
        top_p, top_k: nucleus and top-k truncation, after the temperature.

    Returns:
        `P` lists of `K` token id lists, each at most `max_new_tokens` long.
    """
    n, limit = uniforms.shape[1:]
    device = model.device
    numbers = torch.from_numpy(uniforms.reshape(len(prompts) * n, limit)).to(device)
    stops = torch.tensor(sorted(stop_ids), device=device)
    ids, mask = _left_padded(prompts, device)
    cache = DynamicCache(config=model.config)
    logits = _forward(model, ids, mask, (mask.cumsum(1) - 1).clamp(min=0), cache).repeat_interleave(n, 0)
    cache.batch_repeat_interleave(n)
    mask = mask.repeat_interleave(n, 0)
    rows = torch.arange(len(prompts) * n, device=device)
    tokens = torch.full((len(rows), limit), -1, device=device)
    for step in range(limit):
        drawn = draw(logits, numbers[rows, step], temperature, top_p, top_k)
        tokens[rows, step] = drawn
        alive = ~torch.isin(drawn, stops)
        if step + 1 == limit or not alive.any():
            break
        if not alive.all():
            keep = alive.nonzero().squeeze(1)
            rows, drawn, mask = rows[keep], drawn[keep], mask[keep]
            cache.batch_select_indices(keep)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
        logits = _forward(model, drawn[:, None], mask, mask.sum(1, keepdim=True) - 1, cache)
    responses = [[token for token in row if token >= 0] for row in tokens.tolist()]
    return [responses[start : start + n] for start in range(0, len(responses), n)]


def draw(
    logits: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float = 1.0, top_k: int | None = None
) -> torch.Tensor:
    """The token at which the cumulative distribution passes `uniform`.

    Args:
        logits: shape `[R, V]`.
        uniform: shape `[R]`, in [0, 1).

    Returns:
        Token ids. Shape `[R]`. With truncation, as in transformers: the `top_k` most likely tokens stay, and of these,
        from the most likely down, until their share of the mass reaches `top_p` (the one that passes it is kept).
    """
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = (logits.double() / temperature).softmax(-1)
    if top_p == 1 and not top_k:
        return _passing(probabilities, uniform)
    if logits.shape[1] < MANY:
        return drawn_from_all(probabilities, uniform, top_p, top_k)
    tokens, found = _drawn_from_few(probabilities, uniform, top_p, top_k)
    if not found.all():
        tokens[~found] = drawn_from_all(probabilities[~found], uniform[~found], top_p, top_k)
    return tokens


def drawn_from_all(probabilities: torch.Tensor, uniform: torch.Tensor, top_p: float, top_k: int | None) -> torch.Tensor:
    """A token of each row, after truncation of the sorted vocabulary. Shapes: `[R, V]`, `[R]`; result `[R]`."""
    values, order = probabilities.sort(dim=-1, descending=True, stable=True)
    place = _passing(_truncated(values, top_p, top_k), uniform)
    return order.gather(1, place[:, None]).squeeze(1)


def _drawn_from_few(
    probabilities: torch.Tensor, uniform: torch.Tensor, top_p: float, top_k: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from the most likely tokens, and the rows in which no other could be kept. Shapes `[R]`.

    To sort a quarter of a million tokens takes longer than a small model takes to give their logits.
    """
    count = min(max(FEW, top_k or 0) + 1, probabilities.shape[1])
    order = probabilities.topk(count, sorted=False).indices.sort().values
    values, ranks = probabilities.gather(1, order).sort(dim=-1, descending=True, stable=True)
    # Of tokens that are as likely as the last one, some may be missing.
    values = values.where(values > values[:, -1:], 0)
    if top_k:
        found = values[:, min(top_k, count) - 1] > 0
        total = None
    else:
        total = probabilities.sum(-1, keepdim=True)
        found = values.sum(-1) > top_p * total.squeeze(1)
    place = _passing(_truncated(values, top_p, top_k, total), uniform)
    return order.gather(1, ranks.gather(1, place[:, None])).squeeze(1), found


def _truncated(
    values: torch.Tensor, top_p: float, top_k: int | None, total: torch.Tensor | None = None
) -> torch.Tensor:
    """Sorted probabilities, 0 where they are left out. `total`, shape `[R, 1]`, counts those that are missing, too."""
    if top_k:
        values[:, top_k:] = 0
    if top_p < 1:
        mass = values.cumsum(-1)
        values = values.where(mass - values < top_p * (mass[:, -1:] if total is None else total), 0)
    return values


def _passing(probabilities: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The place at which the cumulative sum passes this share of its end. Shape `[R]`."""
    cumulative = probabilities.cumsum(-1)
    place = torch.searchsorted(cumulative, uniform[:, None].double() * cumulative[:, -1:], right=True)
    return place.clamp(max=probabilities.shape[1] - 1).squeeze(1)


def _forward(
    model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    last = torch.tensor([-1], device=ids.device)  # Given as a number, oneDNN would copy the head for each prompt.
    with quick_products(model):
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=last,
        )
    logits: torch.Tensor = output.logits[:, -1].float()
    return logits


def _left_padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    return ids, mask
