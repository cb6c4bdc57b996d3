"""Length-desensitised DPO: tokens beyond the shorter of the two responses count less (Liu et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from icr.checks import require_number, require_one_of
from icr.losses.checks import require_reference, require_same_shape
from icr.losses.dpo import dpo_loss
from icr.losses.nll import REDUCTIONS, with_nll
from icr.losses.objective import AllReduce, identity

if TYPE_CHECKING:
    import torch

    from icr.types import LossOutput, PolicyLogps, ReferenceLogps, StepTotals


def tail_weighted(logps: torch.Tensor, head_logps: torch.Tensor, *, tail_weight: float) -> torch.Tensor:
    """`log π̂(y|x) = Σ_{t ≤ h} log π(y_t|x, y_<t) + a·Σ_{t > h} log π(y_t|x, y_<t)`, with `h = min(|y_w|, |y_l|)`.

    Liu et al. 2024 (arXiv 2409.06411), whose `α` is `a` here; TRL's `ld_alpha`. At `a = 1` it is `log π(y|x)` exactly.

    Args:
        logps: `log π(y|x)` summed over all tokens, nats. Shape `[B]`.
        head_logps: the same over the first `h` tokens. Shape `[B]`.
        tail_weight: `a`, in [0, 1].

    Raises:
        ValueError: where the two shapes are not one shape `[B]`.
    """
    require_same_shape(logps=logps, head_logps=head_logps)
    return tail_weight * logps + (1 - tail_weight) * head_logps


@dataclass(frozen=True)
class LDDPO:
    """`L_DPO + α·L_NLL`, where `log π̂` of `tail_weighted` stands for each log-prob in `L_DPO`.

    Attributes:
        beta: DPO's `β`, above 0.
        alpha: weight `α` of the NLL of chosen, at least 0. At 0 the NLL is reported but has no gradient.
        nll_reduction: `"sequence"`, `"token"` or `"sum"`; see `icr.losses.nll.nll_loss`.
        tail_weight: weight `a` of the tokens beyond the shorter response, in [0, 1]: 1 is DPO, 0 leaves them out.

    Raises:
        ValueError: where one of them is out of its range.
    """

    beta: float = 0.1
    alpha: float = 1.0
    nll_reduction: str = "sequence"
    tail_weight: float = 0.5

    needs_rejected: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = True
    needs_partner: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_number("beta", self.beta, above=0)
        require_number("alpha", self.alpha, least=0)
        require_one_of("nll_reduction", self.nll_reduction, REDUCTIONS)
        require_number("tail_weight", self.tail_weight, least=0, most=1)

    def __call__(
        self,
        policy: PolicyLogps,
        reference: ReferenceLogps | None,
        totals: StepTotals,
        all_reduce: AllReduce = identity,
    ) -> LossOutput:
        """This micro-batch's share of the step's loss; see `icr.losses.objective.Objective`."""
        reference = require_reference("LDDPO", reference)
        losses, chosen_rewards, rejected_rewards = dpo_loss(
            *self._weighted(policy), *self._weighted(reference), beta=self.beta
        )
        return with_nll(
            losses, chosen_rewards, rejected_rewards, policy, totals, alpha=self.alpha, nll_reduction=self.nll_reduction
        )

    def _weighted(self, side: PolicyLogps | ReferenceLogps) -> tuple[torch.Tensor, torch.Tensor]:
        if side.chosen_head is None or side.rejected_head is None:
            raise ValueError("LDDPO needs the log-probs of the responses' heads, and this batch has none")
        return (
            tail_weighted(side.chosen, side.chosen_head, tail_weight=self.tail_weight),
            tail_weighted(side.rejected, side.rejected_head, tail_weight=self.tail_weight),
        )
