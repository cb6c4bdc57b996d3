"""The forward pass, in the way that was found right for the model."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from icr.logps.head import selected_logps
from icr.logps.joined import joined_hidden
from icr.logps.layout import TokenLayout
from icr.logps.own import own_logps
from icr.logps.padded import padded_hidden
from icr.logps.products import quick_products
from icr.logps.ways import ways_of


def run(model: PreTrainedModel, layout: TokenLayout) -> torch.Tensor:
    """Forward pass and head: log-prob of each target of the layout. Shape `[T]`, float32, nats.

    Raises:
        ModelError: the model's log-probs cannot be had.
    """
    found = ways_of(model)
    with quick_products(model):
        if not found.head:
            return own_logps(model, layout, together=found.together)
        hidden = joined_hidden if joins_rows(model) else padded_hidden
        return selected_logps(model, hidden(model, layout), layout.targets)


def joins_rows(model: PreTrainedModel) -> bool:
    """Whether rows are run one behind the other without padding, found out at the model's first use."""
    return ways_of(model).joins


def shares_prompts(model: PreTrainedModel) -> bool:
    """Whether the responses to a prompt lie behind it in one row, found out at the model's first use.

    Models whose attention takes no mask of ours (flash attention, linear attention, ALiBi…) are run with one row per
    sequence, and a line in the log says so.
    """
    return ways_of(model).shares
