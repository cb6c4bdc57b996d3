"""What every objective is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch

if TYPE_CHECKING:
    from icr.types import LossOutput, PolicyLogps, ReferenceLogps, StepTotals

AllReduce = Callable[[torch.Tensor], torch.Tensor]
"""Returns the sum of a tensor over ranks."""


def identity(tensor: torch.Tensor) -> torch.Tensor:
    """`AllReduce` of a single process."""
    return tensor


class Objective(Protocol):
    """Hyper-parameters and an equation. Config group `loss`; a new loss is a new file with a class such as this.

    Attributes:
        needs_rejected: whether the policy's `rejected` is read.
        needs_reference: whether `reference` is read; where it is not, it may be `None`.
        needs_partner: whether the `partner_*` of policy and reference are read (KTO's mismatched responses).
    """

    needs_rejected: ClassVar[bool]
    needs_reference: ClassVar[bool]
    needs_partner: ClassVar[bool]

    def __call__(
        self,
        policy: PolicyLogps,
        reference: ReferenceLogps | None,
        totals: StepTotals,
        all_reduce: AllReduce = identity,
    ) -> LossOutput:
        """This micro-batch's share of the step's loss: the shares of all its micro-batches and ranks add up to it.

        Args:
            policy: log-probs of the model in training.
            reference: those of the training reference.
            totals: size of the whole optimiser step, over accumulation steps and ranks.
            all_reduce: sum over ranks, for a statistic of the whole batch. Every rank calls it equally often.

        Raises:
            ValueError: where the batch lacks what the objective needs, or shapes do not fit.
        """
