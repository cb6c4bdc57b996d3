"""Preference pairs as the tensors of one micro-batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from icr.logps import TokenLayout, lay_out
from icr.types import PreferencePair, ReferenceLogps, StepTotals


@dataclass(slots=True)
class PairBatch:
    """A micro-batch of `B` pairs.

    Attributes:
        ids, languages: of each pair. Length `B`.
        layout: chosen responses of all pairs, then rejected ones (demonstrations have none). `S = 2B` (or `B`) sequences.
        partners: for KTO, another prompt's chosen responses under these prompts, then its rejected ones. `S = 2P`, `P ≤ B`.
        reference: the training reference's log-probs. Shapes `[B]` and `[P]`, float64.
        totals: size of the optimiser step that this micro-batch is a part of.
    """

    ids: list[str]
    languages: list[str]
    layout: TokenLayout
    partners: TokenLayout | None
    reference: ReferenceLogps | None
    totals: StepTotals


def collate(
    pairs: Sequence[PreferencePair],
    totals: StepTotals,
    *,
    rejected: bool,
    reference: bool,
    partners: Mapping[str, PreferencePair] | None,
) -> PairBatch:
    """Lay out `B` pairs.

    Args:
        totals: of the optimiser step.
        rejected, reference: whether the objective asks for them.
        partners: pairs by their `key`, where the objective asks for mismatched responses; else None.
    """
    sequences = [(pair.prompt_ids, pair.chosen_ids) for pair in pairs]
    if rejected:
        sequences += [(pair.prompt_ids, pair.rejected_ids) for pair in pairs]
    mismatched = [pair for pair in pairs if pair.partner] if partners is not None else []
    return PairBatch(
        ids=[pair.id for pair in pairs],
        languages=[pair.language for pair in pairs],
        layout=lay_out(sequences),
        partners=lay_out(partner_sequences(mismatched, partners)) if mismatched else None,
        reference=_reference(pairs, mismatched) if reference else None,
        totals=totals,
    )


def partner_sequences(
    pairs: Sequence[PreferencePair], partners: Mapping[str, PreferencePair]
) -> list[tuple[list[int], list[int]]]:
    """Each prompt with its partner's chosen response, then each with its partner's rejected one."""
    return [(pair.prompt_ids, partners[pair.partner].chosen_ids) for pair in pairs] + [
        (pair.prompt_ids, partners[pair.partner].rejected_ids) for pair in pairs
    ]


def _reference(pairs: Sequence[PreferencePair], mismatched: Sequence[PreferencePair]) -> ReferenceLogps:
    def column(rows: Sequence[PreferencePair], name: str) -> torch.Tensor:
        return torch.tensor([getattr(row, name) for row in rows], dtype=torch.float64)

    return ReferenceLogps(
        chosen=column(pairs, "reference_chosen_logp"),
        rejected=column(pairs, "reference_rejected_logp"),
        partner_chosen=column(mismatched, "reference_partner_chosen_logp"),
        partner_rejected=column(mismatched, "reference_partner_rejected_logp"),
    )
