"""Attention over rows that share a prompt, through transformers' own interface: a mask, and no model code."""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from icr.logps.head import selected_logps
from icr.logps.layout import TokenLayout, lay_out

log = logging.getLogger(__name__)

MASKABLE = ("sdpa", "eager")
"""Attention implementations that take a mask of their own."""

LAYERS = {"full_attention", "sliding_attention"}
"""Kinds of layers that such a mask can serve."""

_shares: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def run(model: PreTrainedModel, layout: TokenLayout) -> torch.Tensor:
    """Forward pass and head: log-prob of each target of the layout. Shape `[T]`, float32, nats."""
    attention = _arguments(model, layout) if layout.shared else {}
    hidden = model.get_decoder()(input_ids=layout.input_ids, use_cache=False, **attention).last_hidden_state
    return selected_logps(model, hidden[layout.rows, layout.columns], layout.targets)


def shares_prompts(model: PreTrainedModel) -> bool:
    """Whether this model gives the same log-probs with shared prompts as without, found out once on a small example.

    Models whose attention takes no mask of ours (flash attention, linear attention, ALiBi…) are run with a row a
    sequence, and a line in the log says so.
    """
    if model not in _shares:
        _shares[model] = _takes_masks(model) and _agrees(model)
        if not _shares[model]:
            name = f"{type(model).__name__} with {model.config._attn_implementation}"
            log.info("%s cannot share prompts between responses: each response is run with its own prompt", name)
    return _shares[model]


def _arguments(model: PreTrainedModel, layout: TokenLayout) -> dict[str, Any]:
    """Mask and positions, in the form that the model's kind of layers takes."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or [])
    if kinds:
        windows = {"full_attention": None, "sliding_attention": window}
        mask = {kind: _mask(model, layout, windows[kind]) for kind in kinds}
    else:
        mask = _mask(model, layout, window)
    return {"attention_mask": mask, "position_ids": layout.positions}


def _mask(model: PreTrainedModel, layout: TokenLayout, window: int | None) -> torch.Tensor:
    visible = layout.visible(window)
    if model.config._attn_implementation == "sdpa":
        return visible
    return torch.where(visible, 0.0, torch.finfo(model.dtype).min).to(model.dtype)


def _takes_masks(model: PreTrainedModel) -> bool:
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or [])
    return model.config._attn_implementation in MASKABLE and kinds <= LAYERS


@torch.no_grad()
def _agrees(model: PreTrainedModel) -> bool:
    vocabulary = model.get_output_embeddings().weight.shape[0]
    ids = [(7 * place + 3) % vocabulary for place in range(24)]
    sequences = [(ids[:8], ids[8:14]), (ids[:8], ids[14:20]), (ids[:8], ids[20:21])]
    was_training = model.training
    model.eval()
    try:
        apart, together = (run(model, lay_out(sequences, rows).to(model.device)) for rows in (None, [[0, 1, 2]]))
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError):
        return False
    finally:
        model.train(was_training)
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.3
    return bool((apart - together).abs().max() < tolerance)
