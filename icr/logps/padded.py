"""Hidden states from padded rows: the responses of a row told apart by a mask, through transformers' own interface."""

from __future__ import annotations

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from transformers import PreTrainedModel

from icr.logps.family import stated
from icr.logps.layout import TokenLayout

Mask = torch.Tensor | BlockMask

MASKABLE = ("sdpa", "eager", "flex_attention")
"""Attention implementations that take a mask of their own."""

LAYERS = {"full_attention", "sliding_attention"}
"""Kinds of layers that such a mask can serve."""


def takes_masks(model: PreTrainedModel) -> bool:
    """Whether every layer of the model is of a kind that a mask can serve."""
    return model.config._attn_implementation in MASKABLE and layer_kinds(model) <= LAYERS


def layer_kinds(model: PreTrainedModel) -> set[str]:
    """Kinds of layers that the configuration names; empty where all are alike."""
    return set(stated(model.config.get_text_config(), "layer_types") or [])


def padded_hidden(model: PreTrainedModel, layout: TokenLayout) -> torch.Tensor:
    """Hidden states that predict the targets. Shape `[T, H]`."""
    attention = _arguments(model, layout) if layout.shared else {}
    decoder = model.get_decoder()
    hidden: torch.Tensor = decoder(input_ids=layout.input_ids, use_cache=False, **attention).last_hidden_state
    return hidden[layout.rows, layout.columns]


def _arguments(model: PreTrainedModel, layout: TokenLayout) -> dict[str, object]:
    """Mask and positions, in the form that the model's kind of layers takes."""
    window = stated(model.config.get_text_config(), "sliding_window")
    mask: Mask | dict[str, Mask]
    if kinds := layer_kinds(model):
        windows = {"full_attention": None, "sliding_attention": window}
        mask = {kind: _mask(model, layout, windows[kind]) for kind in kinds}
    else:
        mask = _mask(model, layout, window)
    return {"attention_mask": mask, "position_ids": layout.positions}


def _mask(model: PreTrainedModel, layout: TokenLayout, window: int | None) -> Mask:
    if model.config._attn_implementation == "flex_attention":
        return _block_mask(layout, window)
    visible = layout.visible(window)
    if model.config._attn_implementation == "sdpa":
        return visible
    return torch.where(visible, 0.0, torch.finfo(model.dtype).min).to(model.dtype)


def _block_mask(layout: TokenLayout, window: int | None) -> BlockMask:
    """`layout.visible` for FlexAttention, which skips the blocks in which nothing is seen."""
    segments, positions = layout.segments, layout.positions

    def visible(row: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        own = segments[row, query] == segments[row, key]
        seen = (query >= key) & (own | (segments[row, key] == 0))
        return seen if window is None else seen & (positions[row, query] - positions[row, key] < window)

    rows, width = layout.input_ids.shape
    return create_block_mask(visible, rows, None, width, width, device=layout.input_ids.device)
