"""Log-probs of a batch of pairs: one computation, by which the policy is trained and the training reference scored."""

from __future__ import annotations

from dataclasses import replace

import torch
from lightning.fabric.utilities import move_data_to_device

from icr.data.collate import Mismatched, PairBatch
from icr.logps import head_sums, sequence_sums
from icr.modules.token_logps import TokenLogps
from icr.types import PolicyLogps


def pair_logps(logps: TokenLogps, batch: PairBatch) -> PolicyLogps:
    """A model's side of the objective, for the `B` pairs of a micro-batch."""
    pairs = len(batch.ids)
    values = logps(batch.layout)
    sums = sequence_sums(values, batch.layout.lengths)
    chosen_lengths, rejected_lengths = batch.layout.lengths[:pairs], batch.layout.lengths[pairs : 2 * pairs]
    logps_of_pairs = PolicyLogps(
        chosen=sums[:pairs],
        rejected=sums[pairs : 2 * pairs],
        chosen_token_logps=values[: int(chosen_lengths.sum())],
        chosen_lengths=chosen_lengths,
    )
    if len(rejected_lengths) < pairs:
        return logps_of_pairs  # Demonstrations.
    ours = values if pairs else values[:0]  # Without pairs, the one sequence there is is not to be read.
    heads = head_sums(
        ours, batch.layout.lengths[: 2 * pairs], torch.minimum(chosen_lengths, rejected_lengths).repeat(2)
    )
    chosen_head, rejected_head = heads.tensor_split(2)
    return replace(
        logps_of_pairs, rejected_lengths=rejected_lengths, chosen_head=chosen_head, rejected_head=rejected_head
    )


@torch.no_grad()
def partner_logps(logps: TokenLogps, mismatched: Mismatched) -> tuple[torch.Tensor, torch.Tensor]:
    """`log π` of the partners' chosen responses and of their rejected ones. Shape `[P]` each, float64, nats."""
    parts = [sequence_sums(logps(layout), layout.lengths) for layout in mismatched.layouts]
    count = len(mismatched.reference)
    chosen, rejected = torch.cat([mismatched.reference[:0], *parts])[:count].tensor_split(2)
    return chosen, rejected


def to_device(batch: PairBatch, device: torch.device) -> PairBatch:
    """The batch on a device, as Lightning puts it there."""
    moved: PairBatch = move_data_to_device(batch, device)
    return moved
