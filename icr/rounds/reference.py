"""The training reference's log-probs of a round's pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from icr.data.datamodule import PairMicroBatches
from icr.errors import RunError
from icr.logps import settle
from icr.models.arithmetic import Arithmetic
from icr.models.loading import LoadedModel
from icr.modules.pair_logps import pair_logps, partner_logps, to_device
from icr.modules.token_logps import TokenLogps
from icr.types import PreferencePair

Logps = dict[str, dict[str, float]]
"""By `key` of a pair: `chosen` and `rejected`, their heads where there is a rejected response, and `partner_chosen` and
`partner_rejected` where the pair has a partner.
"""


def reference_logps(
    micro_batches: PairMicroBatches,
    reference: LoadedModel,
    arithmetic: Arithmetic,
    on_batch: Callable[[int], object] = lambda done: None,
) -> Logps:
    """`log π_ref` of the pairs' responses, and of their partners' where the objective asks for them.

    The training's own micro-batches are scored, in its arithmetic and by the computation that the policy goes through:
    where both are one model, the log-ratio of step 0 is 0 in any precision, which in 16 bits it is not if so little as
    the padding differs.

    Called by all ranks together.

    Args:
        micro_batches: each pair once, as `CrossLingualPairDataModule.one_pass` plans them; this process's share.
        reference: its weights are rounded as the arithmetic has it, and stay so.
        on_batch: called with the number of pairs that each micro-batch has finished (for progress bars).

    Raises:
        RunError: a log-prob is NaN or infinite; the pair is named.
    """
    logps, device = TokenLogps(reference.model), reference.model.device
    known: Logps = {}
    arithmetic.prepare(reference.model)
    was_training = reference.model.training
    reference.model.eval()
    try:
        with arithmetic.scoring(device):
            settle(reference.model)
            for index in range(len(micro_batches)):
                batch = to_device(micro_batches[index], device)
                side = pair_logps(logps, batch)
                _note(known, batch.keys, "chosen", side.chosen)
                _note(known, batch.keys, "rejected", side.rejected)
                if side.chosen_head is not None and side.rejected_head is not None:
                    _note(known, batch.keys, "chosen_head", side.chosen_head)
                    _note(known, batch.keys, "rejected_head", side.rejected_head)
                if batch.mismatched is not None:
                    chosen, rejected = partner_logps(logps, batch.mismatched)
                    _note(known, batch.mismatched.keys, "partner_chosen", chosen)
                    _note(known, batch.mismatched.keys, "partner_rejected", rejected)
                on_batch(len(batch.keys))
    finally:
        reference.model.train(was_training)
    _check_finite(known, reference)
    return known


def with_reference_logps(pairs: Sequence[PreferencePair], known: Sequence[Logps]) -> list[PreferencePair]:
    """The pairs with what all processes have scored."""
    by_key: Logps = {}
    for part in known:
        for key, values in part.items():
            by_key.setdefault(key, {}).update(values)
    return [_with(pair, by_key[pair.key]) for pair in pairs]


def _with(pair: PreferencePair, values: Mapping[str, float]) -> PreferencePair:
    return replace(
        pair,
        reference_chosen_logp=values["chosen"],
        reference_rejected_logp=values["rejected"],
        reference_chosen_head_logp=values.get("chosen_head", 0.0),
        reference_rejected_head_logp=values.get("rejected_head", 0.0),
        reference_partner_chosen_logp=values.get("partner_chosen", 0.0),
        reference_partner_rejected_logp=values.get("partner_rejected", 0.0),
    )


def _note(known: Logps, keys: Sequence[str], name: str, values: torch.Tensor) -> None:
    for key, value in zip(keys, values.tolist(), strict=True):
        known.setdefault(key, {})[name] = value


def _check_finite(known: Mapping[str, Mapping[str, float]], reference: LoadedModel) -> None:
    for key, values in known.items():
        if not all(map(math.isfinite, values.values())):
            raise RunError(
                f"The training reference's log-probs of the pair {key} are not finite: the weights of {reference.path} "
                f"hold NaN, or their dtype overflows (try model.loader.dtype=float32, or another trainer.precision)."
            )
