"""DPO whose log-ratios are per token: length-normalised DPO (Lambert et al. 2024, Tülu 3, arXiv 2411.15124)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch.nn.functional as F

from icr.checks import require_number, require_one_of
from icr.losses.checks import require_reference, require_same_shape
from icr.losses.nll import REDUCTIONS, with_nll
from icr.losses.objective import AllReduce, identity

if TYPE_CHECKING:
    import torch

    from icr.types import LossOutput, PolicyLogps, ReferenceLogps, StepTotals


def dpo_norm_loss(
    policy_chosen_logps: torch.Tensor,
    policy_rejected_logps: torch.Tensor,
    reference_chosen_logps: torch.Tensor,
    reference_rejected_logps: torch.Tensor,
    chosen_lengths: torch.Tensor,
    rejected_lengths: torch.Tensor,
    *,
    beta: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Length-normalised DPO loss of each pair: `−log σ(β·[ρ_w/|y_w| − ρ_l/|y_l|])`.

    `ρ = log π(y|x) − log π_ref(y|x)`, and `|y|` is the response's length in tokens. It is TRL's
    `loss_type="sigmoid_norm"`.

    Args:
        policy_chosen_logps, policy_rejected_logps: `log π(y|x)` summed over tokens, nats. Shape `[B]`.
        reference_chosen_logps, reference_rejected_logps: the same under the training reference. Shape `[B]`.
        chosen_lengths, rejected_lengths: `|y_w|` and `|y_l|`, end-of-turn token included, at least 1. Shape `[B]`.
        beta: `β`, above 0, of a difference per token: larger than DPO's by about the length of a response.

    Returns:
        The losses, and the chosen and rejected rewards `β·ρ/|y|` that are compared, in nats per token, detached. Each
        of shape `[B]`.

    Raises:
        ValueError: where the six shapes are not one shape `[B]`.
    """
    require_same_shape(
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        reference_chosen_logps=reference_chosen_logps,
        reference_rejected_logps=reference_rejected_logps,
        chosen_lengths=chosen_lengths,
        rejected_lengths=rejected_lengths,
    )
    chosen_rewards = beta * (policy_chosen_logps - reference_chosen_logps) / chosen_lengths
    rejected_rewards = beta * (policy_rejected_logps - reference_rejected_logps) / rejected_lengths
    return -F.logsigmoid(chosen_rewards - rejected_rewards), chosen_rewards.detach(), rejected_rewards.detach()


@dataclass(frozen=True)
class DPONorm:
    """`L_DPO-norm + α·L_NLL`.

    Attributes:
        beta: `β`, above 0; see `dpo_norm_loss` for its size.
        alpha: weight `α` of the NLL of chosen, at least 0. At 0 the NLL is reported but has no gradient.
        nll_reduction: `"sequence"`, `"token"` or `"sum"`; see `icr.losses.nll.nll_loss`.

    Raises:
        ValueError: where one of them is out of its range.
    """

    beta: float = 5.0
    alpha: float = 1.0
    nll_reduction: str = "sequence"

    needs_rejected: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = True
    needs_partner: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_number("beta", self.beta, above=0)
        require_number("alpha", self.alpha, least=0)
        require_one_of("nll_reduction", self.nll_reduction, REDUCTIONS)

    def __call__(
        self,
        policy: PolicyLogps,
        reference: ReferenceLogps | None,
        totals: StepTotals,
        all_reduce: AllReduce = identity,
    ) -> LossOutput:
        """This micro-batch's share of the step's loss; see `icr.losses.objective.Objective`."""
        reference = require_reference("DPONorm", reference)
        if policy.rejected_lengths is None:
            raise ValueError("DPONorm needs the lengths of the rejected responses, and this batch has none")
        losses, chosen_rewards, rejected_rewards = dpo_norm_loss(
            policy.chosen,
            policy.rejected,
            reference.chosen,
            reference.rejected,
            policy.chosen_lengths,
            policy.rejected_lengths,
            beta=self.beta,
        )
        return with_nll(
            losses, chosen_rewards, rejected_rewards, policy, totals, alpha=self.alpha, nll_reduction=self.nll_reduction
        )
