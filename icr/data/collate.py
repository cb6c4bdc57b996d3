"""Preference pairs as the tensors of one micro-batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from icr.logps import MAX_ROW, IdPair, TokenLayout, lay_out, rows_by_prompt
from icr.types import PreferencePair, ReferenceLogps, StepTotals


@dataclass(slots=True)
class Mismatched:
    """KTO's mismatched responses of a whole optimiser step: another prompt's chosen responses under these prompts, then
    its rejected ones, for the `P` pairs of the step that have a partner.

    Attributes:
        layouts: the `2P` sequences, cut into passes as large as a micro-batch.
        reference: the training reference's log-probs of them. Shape `[2P]`, float64.
    """

    layouts: list[TokenLayout]
    reference: torch.Tensor


@dataclass(slots=True)
class PairBatch:
    """A micro-batch of `B` pairs.

    Attributes:
        ids, languages: of each pair. Length `B`.
        layout: chosen responses of all pairs, then rejected ones (demonstrations have none). `S = 2B` (or `B`).
        reference: the training reference's log-probs. Shape `[B]`, float64.
        mismatched: for KTO, with the first micro-batch of a step, what `z_0` of the whole step is estimated from.
        totals: size of the optimiser step that this micro-batch is a part of.
    """

    ids: list[str]
    languages: list[str]
    layout: TokenLayout
    reference: ReferenceLogps | None
    mismatched: Mismatched | None
    totals: StepTotals


def collate(
    pairs: Sequence[PreferencePair],
    totals: StepTotals,
    *,
    rejected: bool,
    reference: bool,
    mismatched: Mismatched | None = None,
) -> PairBatch:
    """Lay out `B` pairs.

    Args:
        totals: of the optimiser step.
        rejected, reference: whether the objective asks for them.
        mismatched: of the step, with its first micro-batch, where the objective asks for it; else None.
    """
    sequences = [(pair.prompt_ids, pair.chosen_ids) for pair in pairs]
    if rejected:
        sequences += [(pair.prompt_ids, pair.rejected_ids) for pair in pairs]
    return PairBatch(
        ids=[pair.id for pair in pairs],
        languages=[pair.language for pair in pairs],
        layout=_lay_out(sequences),
        reference=_reference(pairs) if reference else None,
        mismatched=mismatched,
        totals=totals,
    )


def mismatch(
    pairs: Sequence[PreferencePair], partners: Mapping[str, PreferencePair], *, sequences_per_pass: int
) -> Mismatched:
    """The mismatched responses of a step's `P` pairs that have a partner; `partners` holds pairs by their `key`."""
    sequences = partner_sequences(pairs, partners)
    cuts = range(0, len(sequences), sequences_per_pass)
    return Mismatched(
        layouts=[_lay_out(sequences[cut : cut + sequences_per_pass]) for cut in cuts],
        reference=torch.cat(
            [_column(pairs, "reference_partner_chosen_logp"), _column(pairs, "reference_partner_rejected_logp")]
        ),
    )


def partner_sequences(
    pairs: Sequence[PreferencePair], partners: Mapping[str, PreferencePair]
) -> list[tuple[list[int], list[int]]]:
    """Each prompt with its partner's chosen response, then each with its partner's rejected one."""
    return [(pair.prompt_ids, partners[pair.partner].chosen_ids) for pair in pairs] + [
        (pair.prompt_ids, partners[pair.partner].rejected_ids) for pair in pairs
    ]


def _lay_out(sequences: Sequence[IdPair]) -> TokenLayout:
    return lay_out(sequences, rows_by_prompt(sequences, range(len(sequences)), MAX_ROW))


def _reference(pairs: Sequence[PreferencePair]) -> ReferenceLogps:
    return ReferenceLogps(_column(pairs, "reference_chosen_logp"), _column(pairs, "reference_rejected_logp"))


def _column(pairs: Sequence[PreferencePair], name: str) -> torch.Tensor:
    return torch.tensor([getattr(pair, name) for pair in pairs], dtype=torch.float64)
