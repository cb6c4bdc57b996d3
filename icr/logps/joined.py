"""Hidden states from rows joined into one of no padding, each attended to by itself: the fastest way on a CPU."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from icr.logps.layout import TokenLayout
from icr.logps.padded import layer_kinds, takes_masks
from icr.logps.products import own_products

Span = tuple[int, int, list[int]]
"""Of a row among joined rows: its start, the end of its prompt, and the ends of the responses behind it."""


@dataclass
class Joined:
    """Rows that are joined, and the masks of their spans: one for all layers and for all spans of its shape.

    Attributes:
        spans: where each row lies.
        masks: by rows, columns, window and dtype, of those made so far.
    """

    spans: list[Span]
    masks: dict[tuple[int, int, int | None, torch.dtype], torch.Tensor | None] = field(default_factory=dict)

    def mask(self, rows: int, columns: int, window: int | None, dtype: torch.dtype) -> torch.Tensor | None:
        """Causal mask in which the last row sees all columns of its window; None where it is `sdpa`'s own.

        It is what is added to the products, in their dtype: of one that says yes and no, `sdpa` makes such a mask at
        each call, and autograd keeps them all.
        """
        key = rows, columns, window, dtype
        if key not in self.masks:
            self.masks[key] = _lower_right(*key)
        return self.masks[key]


def may_join(model: PreTrainedModel) -> bool:
    """Whether joining is worth a trial: on a CPU, with `sdpa`. (A GPU would wait for many small calls.)"""
    return model.device.type == "cpu" and model.config._attn_implementation == "sdpa" and takes_masks(model)


def joined_hidden(model: PreTrainedModel, layout: TokenLayout) -> torch.Tensor:
    """Hidden states that predict the targets. Shape `[T, H]`."""
    real = layout.segments >= 0
    starts = torch.tensor([0, *real.sum(1).tolist()[:-1]]).cumsum(0)
    nothing = torch.ones(1, 1, 1, 1, dtype=torch.bool)  # Keeps the model from making a mask.
    kinds = layer_kinds(model)
    hidden: torch.Tensor = model.get_decoder()(
        input_ids=layout.input_ids[real][None],
        position_ids=layout.positions[real][None],
        attention_mask=dict.fromkeys(kinds, nothing) if kinds else nothing,
        use_cache=False,
        icr_joined=Joined(_spans(layout, starts.tolist())),
    ).last_hidden_state[0]
    return hidden[starts[layout.rows] + layout.columns]


def _spans(layout: TokenLayout, starts: list[int]) -> list[Span]:
    spans = []
    for segments, start in zip(layout.segments, starts, strict=True):
        prompt, *responses = (start + torch.bincount(segments[segments >= 0]).cumsum(0)).tolist()
        spans.append((start, prompt, responses))
    return spans


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    icr_joined: Joined | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' `sdpa`, and with `icr_joined` the same on each prompt, and on each response with its prompt.

    The spans travel as a keyword, not in a context, so that a checkpointed layer has them again in its backward pass.
    """
    if icr_joined is None:
        return _sdpa(module, query, key, value, attention_mask, **options)
    window, parts = options.get("sliding_window"), []
    for start, prompt, ends in icr_joined.spans:
        seen = [tensor[:, :, start:prompt] for tensor in (key, value)]
        for begin, end in zip([start, prompt, *ends], [prompt, *ends], strict=False):
            if begin == end:
                continue  # A response of one token is no input.
            own = [tensor[:, :, begin:end] for tensor in (key, value)]
            keys, values = own if begin == start else [torch.cat(both, 2) for both in zip(seen, own, strict=True)]
            mask = icr_joined.mask(end - begin, keys.shape[2], window, query.dtype)
            parts.append(_sdpa(module, query[:, :, begin:end], keys, values, mask, **options)[0])
    return torch.cat(parts, 1), None


def _sdpa(module: torch.nn.Module, query: torch.Tensor, *others: Any, **options: Any) -> tuple[torch.Tensor, None]:
    with own_products(query.device):
        attended: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, *others, **options)
    return attended


def _lower_right(rows: int, columns: int, window: int | None, dtype: torch.dtype) -> torch.Tensor | None:
    if rows == columns and (window is None or columns <= window):
        return None
    places = torch.arange(columns)
    back = places[columns - rows :, None] - places
    hidden = (back < 0) | (back >= (window or columns))
    return torch.zeros(rows, columns, dtype=dtype).masked_fill_(hidden, -torch.inf)[None, None]


AttentionInterface.register("sdpa", _attend)
