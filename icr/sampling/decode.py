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
from icr.sampling.drawing import draw


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
