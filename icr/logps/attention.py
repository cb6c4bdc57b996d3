"""The forward pass: which way a model can be run over rows that share prompts, found out by trying."""

from __future__ import annotations

import logging
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from icr.logps.head import selected_logps
from icr.logps.joined import joined_hidden, may_join
from icr.logps.layout import TokenLayout, lay_out
from icr.logps.padded import padded_hidden, takes_masks

log = logging.getLogger(__name__)

Seen = WeakKeyDictionary[PreTrainedModel, dict[str, bool]]
"""What was found out about a model, by the attention implementation that it had."""

_shares: Seen = WeakKeyDictionary()
_joins: Seen = WeakKeyDictionary()


def run(model: PreTrainedModel, layout: TokenLayout) -> torch.Tensor:
    """Forward pass and head: log-prob of each target of the layout. Shape `[T]`, float32, nats."""
    hidden = joined_hidden if joins_rows(model) else padded_hidden
    return selected_logps(model, hidden(model, layout), layout.targets)


def joins_rows(model: PreTrainedModel) -> bool:
    """Whether rows are run one behind the other without padding, found out once on a small example.

    Not every family hands `icr_spans` on to its attention.
    """
    if not may_join(model):
        return False
    seen, name = _joins.setdefault(model, {}), model.config._attn_implementation
    if name not in seen:
        seen[name] = _agrees(model, joined_hidden)
    return seen[name]


def shares_prompts(model: PreTrainedModel) -> bool:
    """Whether this model gives the same log-probs with shared prompts as without, found out once on a small example.

    Models whose attention takes no mask of ours (flash attention, linear attention, ALiBi…) are run with one row per
    sequence, and a line in the log says so.
    """
    seen, name = _shares.setdefault(model, {}), model.config._attn_implementation
    if name not in seen:
        seen[name] = takes_masks(model) and _agrees(model, padded_hidden)
        if not seen[name]:
            model_name = f"{type(model).__name__} with {name}"
            log.info("%s cannot share prompts between responses: each response is run with its own prompt", model_name)
    return seen[name]


@torch.no_grad()
def _agrees(model: PreTrainedModel, hidden: Callable[[PreTrainedModel, TokenLayout], torch.Tensor]) -> bool:
    vocabulary = model.get_output_embeddings().weight.shape[0]
    ids = [(7 * place + 3) % vocabulary for place in range(24)]
    sequences = [(ids[:8], ids[8:14]), (ids[:8], ids[14:20]), (ids[:8], ids[20:21])]
    was_training = model.training
    model.eval()
    try:
        plain = [lay_out([sequence]).to(model.device) for sequence in sequences]
        apart = torch.cat([selected_logps(model, padded_hidden(model, one), one.targets) for one in plain])
        rows = lay_out([*sequences, sequences[0]], [[0, 1, 2], [3]]).to(model.device)
        together = selected_logps(model, hidden(model, rows), rows.targets)[: len(apart)]
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError):
        return False
    finally:
        model.train(was_training)
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.3
    return bool((apart - together).abs().max() < tolerance)
