"""Direct Preference Optimization (Rafailov et al. 2023, arXiv 2305.18290), with conservative label smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F

from icr.checks import require_number, require_one_of
from icr.losses.checks import require_reference, require_same_shape
from icr.losses.nll import REDUCTIONS, with_nll
from icr.losses.objective import AllReduce, identity

if TYPE_CHECKING:
    from icr.types import LossOutput, PolicyLogps, ReferenceLogps, StepTotals


def dpo_loss(
    policy_chosen_logps: torch.Tensor,
    policy_rejected_logps: torch.Tensor,
    reference_chosen_logps: torch.Tensor,
    reference_rejected_logps: torch.Tensor,
    *,
    beta: float,
    label_smoothing: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """DPO loss of each pair.

    With `h = β·[(log π(y_w|x) − log π_ref(y_w|x)) − (log π(y_l|x) − log π_ref(y_l|x))]` it is
    `−(1 − ε)·log σ(h) − ε·log σ(−h)`: equation 7 of Rafailov et al. where `ε = 0`, otherwise the conservative DPO of
    Mitchell (2023), for labels that are wrong with probability `ε`.

    Args:
        policy_chosen_logps, policy_rejected_logps: `log π(y|x)` summed over tokens, nats. Shape `[B]`.
        reference_chosen_logps, reference_rejected_logps: the same under the training reference. Shape `[B]`.
        beta: strength `β` of the pull towards the reference, above 0.
        label_smoothing: `ε`, in [0, 0.5).

    Returns:
        The losses, and the chosen and rejected rewards `β·log(π/π_ref)` in nats, detached. Each of shape `[B]`.

    Raises:
        ValueError: where the four shapes are not one shape `[B]`.
    """
    require_same_shape(
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        reference_chosen_logps=reference_chosen_logps,
        reference_rejected_logps=reference_rejected_logps,
    )
    chosen_rewards = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected_rewards = beta * (policy_rejected_logps - reference_rejected_logps)
    h = chosen_rewards - rejected_rewards
    losses = -(1 - label_smoothing) * F.logsigmoid(h) - label_smoothing * F.logsigmoid(-h)
    return losses, chosen_rewards.detach(), rejected_rewards.detach()


@dataclass(frozen=True)
class DPO:
    """`L_DPO + α·L_NLL`, the method's default objective.

    Attributes:
        beta: DPO's `β`, above 0.
        alpha: weight `α` of the NLL of chosen, at least 0. At 0 the NLL is reported but has no gradient.
        nll_reduction: `"sequence"`, `"token"` or `"sum"`; see `icr.losses.nll.nll_loss`.
        label_smoothing: probability in [0, 0.5) that a label is wrong.

    Raises:
        ValueError: where one of them is out of its range.
    """

    beta: float = 0.1
    alpha: float = 1.0
    nll_reduction: str = "sequence"
    label_smoothing: float = 0.0

    needs_rejected: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = True
    needs_partner: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_number("beta", self.beta, above=0)
        require_number("alpha", self.alpha, least=0)
        require_one_of("nll_reduction", self.nll_reduction, REDUCTIONS)
        require_number("label_smoothing", self.label_smoothing, least=0, below=0.5)

    def __call__(
        self,
        policy: PolicyLogps,
        reference: ReferenceLogps | None,
        totals: StepTotals,
        all_reduce: AllReduce = identity,
    ) -> LossOutput:
        """This micro-batch's share of the step's loss; see `icr.losses.objective.Objective`."""
        reference = require_reference("DPO", reference)
        losses, chosen_rewards, rejected_rewards = dpo_loss(
            policy.chosen,
            policy.rejected,
            reference.chosen,
            reference.rejected,
            beta=self.beta,
            label_smoothing=self.label_smoothing,
        )
        return with_nll(
            losses, chosen_rewards, rejected_rewards, policy, totals, alpha=self.alpha, nll_reduction=self.nll_reduction
        )
