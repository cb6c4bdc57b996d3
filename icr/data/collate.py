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
    its rejected ones, for the `P` pairs of the step that have a partner; a rank of several has its share of them.

    Attributes:
        keys: of the `P` pairs.
        layouts: the `2P` sequences, cut into passes as large as a micro-batch. What follows them in the last ones is
            there for all ranks to make equally many passes, and is not to be read.
        reference: the training reference's log-probs of them. Shape `[2P]`, float64.
    """

    keys: list[str]
    layouts: list[TokenLayout]
    reference: torch.Tensor


@dataclass(slots=True)
class PairBatch:
    """A micro-batch of `B` pairs.

    `B` is 0 on a rank that has no pair left of a step while others do. Its gradient is then exactly zero, and comes of
    a pass like any other, because all ranks pass through a sharded model together.

    Attributes:
        keys, ids, languages: of each pair. Length `B`.
        layout: chosen responses of all pairs, then rejected ones (demonstrations have none). `S = 2B` (or `B`); where
            `B` is 0, a sequence that is not to be read.
        reference: the training reference's log-probs. Shape `[B]`, float64.
        mismatched: for KTO, with the first micro-batch of a step, what `z_0` of the whole step is estimated from.
        totals: size of the optimiser step that this micro-batch is a part of.
    """

    keys: list[str]
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
    stand_in: PreferencePair | None = None,
) -> PairBatch:
    """Lay out `B` pairs.

    Args:
        totals: of the optimiser step.
        rejected, reference: whether the objective asks for them.
        mismatched: of the step, with its first micro-batch, where the objective asks for it; else None.
        stand_in: any pair, laid out where there is none.
    """
    sequences: list[IdPair] = [(pair.prompt_ids, pair.chosen_ids) for pair in pairs]
    if rejected:
        sequences += [(pair.prompt_ids, pair.rejected_ids) for pair in pairs]
    if stand_in and not pairs:
        sequences = [(stand_in.prompt_ids, stand_in.chosen_ids)]
    return PairBatch(
        keys=[pair.key for pair in pairs],
        ids=[pair.id for pair in pairs],
        languages=[pair.language for pair in pairs],
        layout=_lay_out(sequences),
        reference=_reference(pairs) if reference else None,
        mismatched=mismatched,
        totals=totals,
    )


def mismatch(
    pairs: Sequence[PreferencePair],
    partners: Mapping[str, PreferencePair],
    *,
    sequences_per_pass: int,
    rank: int = 0,
    ranks: int = 1,
) -> Mismatched:
    """The mismatched responses of a step's pairs that have a partner, or one rank's share of them.

    Args:
        pairs: of the whole step, those that have a partner.
        partners: pairs by their `key`.
    """
    mine = pairs[len(pairs) * rank // ranks : len(pairs) * (rank + 1) // ranks]
    sequences = partner_sequences(mine, partners)
    most = 2 * -(-len(pairs) // ranks)
    padded = sequences + partner_sequences(pairs[:1], partners) * (most - len(sequences))
    cuts = range(0, most, sequences_per_pass)
    return Mismatched(
        keys=[pair.key for pair in mine],
        layouts=[_lay_out(padded[cut : min(cut + sequences_per_pass, most)]) for cut in cuts],
        reference=torch.cat(
            [_column(mine, "reference_partner_chosen_logp"), _column(mine, "reference_partner_rejected_logp")]
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
    return ReferenceLogps(
        chosen=_column(pairs, "reference_chosen_logp"),
        rejected=_column(pairs, "reference_rejected_logp"),
        chosen_head=_column(pairs, "reference_chosen_head_logp"),
        rejected_head=_column(pairs, "reference_rejected_head_logp"),
    )


def _column(pairs: Sequence[PreferencePair], name: str) -> torch.Tensor:
    return torch.tensor([getattr(pair, name) for pair in pairs], dtype=torch.float64)
