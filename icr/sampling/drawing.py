"""Drawing a token by the inverse of the cumulative distribution: one number gives one token, whatever the batch.

Probabilities are summed up in float64. Of a large vocabulary, each of them is a float32 with a relative error of 1e-7,
which is less than that of the logits, and a number is looked up in two steps, the block and the place in it: less than
half of the time, and no float64 copy of the vocabulary.
"""

from __future__ import annotations

import torch

MANY, FEW = 2**15, 4096
"""Of a vocabulary of `MANY` tokens or more, truncation sorts the `FEW` most likely ones, where these will do."""
BLOCK = 512
"""Tokens that are passed over at a time."""


def draw(
    logits: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float = 1.0, top_k: int | None = None
) -> torch.Tensor:
    """The token at which the cumulative distribution passes `uniform`.

    Args:
        logits: shape `[R, V]`.
        uniform: shape `[R]`, in [0, 1).

    Returns:
        Token ids. Shape `[R]`. With truncation, as in transformers: the `top_k` most likely tokens stay, and of these,
        from the most likely down, until their share of the mass reaches `top_p` (the one that passes it is kept). Where
        logits are NaN it is any token of the vocabulary: what scores it says what is wrong.
    """
    if temperature == 0:
        return logits.argmax(-1)
    truncated = top_p < 1 or bool(top_k)
    if logits.shape[1] < MANY:
        masses = (logits.double() / temperature).softmax(-1)
        return drawn_from_all(masses, uniform, top_p, top_k) if truncated else _passing(masses, uniform)
    masses = _masses(logits, temperature)
    if truncated:
        tokens, found = _drawn_from_few(masses, uniform, top_p, top_k)
        if not found.all():
            tokens[~found] = drawn_from_all(masses[~found].double(), uniform[~found], top_p, top_k)
    else:
        tokens = _passing_by_blocks(masses, uniform)
    return tokens.clamp(max=logits.shape[1] - 1)


def drawn_from_all(masses: torch.Tensor, uniform: torch.Tensor, top_p: float, top_k: int | None) -> torch.Tensor:
    """A token of each row, after truncation of the sorted vocabulary.

    Args:
        masses: what the probabilities are proportional to. Shape `[R, V]`, float64.
        uniform: shape `[R]`.
    """
    values, order = masses.sort(dim=-1, descending=True, stable=True)
    place = _passing(_truncated(values, top_p, top_k), uniform)
    return order.gather(1, place[:, None]).squeeze(1)


def _masses(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """What the probabilities are proportional to, 1 for the most likely token, in whole blocks. Shape `[R, ≥ V]`."""
    masses = logits.new_zeros(len(logits), -(-logits.shape[1] // BLOCK) * BLOCK, dtype=torch.float32)
    own = masses[:, : logits.shape[1]]
    torch.sub(logits.float(), logits.amax(-1, keepdim=True), out=own)
    own.div_(temperature).exp_()
    return masses


def _drawn_from_few(
    masses: torch.Tensor, uniform: torch.Tensor, top_p: float, top_k: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from the most likely tokens, and the rows in which no other could be kept. Shapes `[R]`.

    To sort a quarter of a million tokens takes longer than a small model takes to give their logits.
    """
    count = min(max(FEW, top_k or 0) + 1, masses.shape[1])
    order = masses.topk(count, sorted=False).indices.sort().values
    values, ranks = masses.gather(1, order).double().sort(dim=-1, descending=True, stable=True)
    # Of tokens that are as likely as the last one, some may be missing.
    values = values.where(values > values[:, -1:], 0)
    if top_k:
        found = values[:, min(top_k, count) - 1] > 0
        total = None
    else:
        total = masses.sum(-1, keepdim=True, dtype=torch.float64)
        found = values.sum(-1) > top_p * total.squeeze(1)
    place = _passing(_truncated(values, top_p, top_k, total), uniform)
    return order.gather(1, ranks.gather(1, place[:, None])).squeeze(1), found


def _truncated(
    values: torch.Tensor, top_p: float, top_k: int | None, total: torch.Tensor | None = None
) -> torch.Tensor:
    """Sorted masses, 0 where they are left out. `total`, shape `[R, 1]`, counts those that are missing, too."""
    if top_k:
        values[:, top_k:] = 0
    if top_p < 1:
        mass = values.cumsum(-1)
        values = values.where(mass - values < top_p * (mass[:, -1:] if total is None else total), 0)
    return values


def _passing(masses: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The place at which the cumulative sum passes this share of its end. Shape `[R]`."""
    cumulative = masses.cumsum(-1)
    return _place(cumulative, uniform[:, None].double() * cumulative[:, -1:]).squeeze(1)


def _passing_by_blocks(masses: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The same: first the block, then the place in it."""
    blocks = masses.view(len(masses), -1, BLOCK)
    ends = blocks.sum(-1, dtype=torch.float64).cumsum(-1)
    aim = uniform[:, None].double() * ends[:, -1:]
    block = _place(ends, aim)
    inside = blocks.gather(1, block[:, :, None].expand(-1, -1, BLOCK)).squeeze(1).double()
    begin = torch.where(block > 0, ends.gather(1, (block - 1).clamp(min=0)), 0)
    return (block * BLOCK + _place(inside.cumsum(-1), aim - begin)).squeeze(1)


def _place(cumulative: torch.Tensor, aim: torch.Tensor) -> torch.Tensor:
    """The first place beyond `aim`, which rounding may have put at the end: only places of some mass are found."""
    inside = torch.nextafter(cumulative[:, -1:], torch.zeros_like(aim))
    place = torch.searchsorted(cumulative, torch.minimum(aim, inside), right=True)
    return place.clamp(max=cumulative.shape[1] - 1)
