"""Kahneman-Tversky Optimization (Ethayarajh et al. 2024, arXiv 2402.01306), on pairs split into two examples each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from icr.checks import require_number, require_one_of
from icr.losses.checks import require_reference, require_same_shape
from icr.losses.nll import REDUCTIONS, with_nll
from icr.losses.objective import AllReduce, identity

if TYPE_CHECKING:
    from icr.types import LossOutput, PolicyLogps, ReferenceLogps, StepTotals


def kto_loss(
    policy_chosen_logps: torch.Tensor,
    policy_rejected_logps: torch.Tensor,
    reference_chosen_logps: torch.Tensor,
    reference_rejected_logps: torch.Tensor,
    kl: torch.Tensor,
    *,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """KTO loss of each desirable and each undesirable example.

    `λ_D·(1 − σ(β(ρ_w − z_0)))` for chosen and `λ_U·(1 − σ(β(z_0 − ρ_l)))` for rejected, where
    `ρ = log π(y|x) − log π_ref(y|x)`: Ethayarajh et al., section 4.1. `1 − σ(a)` is computed as `σ(−a)`, which does not
    round small values to 0.

    Args:
        policy_chosen_logps, policy_rejected_logps: `log π(y|x)` summed over tokens, nats. Shape `[B]`.
        reference_chosen_logps, reference_rejected_logps: the same under the training reference. Shape `[B]`.
        kl: reference point `z_0` in nats, from `kl_estimate`. Scalar; no gradient flows through it.
        beta: `β`, above 0.
        desirable_weight, undesirable_weight: `λ_D` and `λ_U`.

    Returns:
        The desirable losses, the undesirable losses, and the chosen and rejected rewards `β·ρ` in nats, detached. Each
        of shape `[B]`.

    Raises:
        ValueError: where the four shapes are not one shape `[B]`, or `kl` is not a scalar.
    """
    require_same_shape(
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        reference_chosen_logps=reference_chosen_logps,
        reference_rejected_logps=reference_rejected_logps,
    )
    if kl.ndim != 0:
        raise ValueError(f"kl must be a scalar, got shape {list(kl.shape)}")
    baseline = beta * kl.detach()
    chosen_rewards = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected_rewards = beta * (policy_rejected_logps - reference_rejected_logps)
    desirable = desirable_weight * torch.sigmoid(baseline - chosen_rewards)
    undesirable = undesirable_weight * torch.sigmoid(rejected_rewards - baseline)
    return desirable, undesirable, chosen_rewards.detach(), rejected_rewards.detach()


def kl_estimate(
    policy_partner_logps: torch.Tensor, reference_partner_logps: torch.Tensor, all_reduce: AllReduce = identity
) -> torch.Tensor:
    """KTO's reference point `z_0 = max(0, mean of log π/π_ref over mismatched prompt–response pairs)`, a constant.

    `all_reduce` is called exactly once on every rank, with `[sum, count]`, also where this rank has no mismatched pair:
    the mean is over all ranks' pairs and not of the ranks' means, which differ where ranks hold unequal numbers.

    Args:
        policy_partner_logps, reference_partner_logps: `log π(y'|x)` and `log π_ref(y'|x)` of responses `y'` to another
            prompt than `x`, nats. Shape `[P]`; `P` may be 0.
        all_reduce: returns the sum of a tensor over ranks. A caller who accumulates gradients may add the step's other
            micro-batches there, which makes `z_0`, and with it KTO, independent of how the step is cut.

    Returns:
        Scalar, float64, nats. Zero where there is no mismatched pair on any rank.

    Raises:
        ValueError: where the two shapes are not one shape `[P]`.
    """
    require_same_shape(policy_partner_logps=policy_partner_logps, reference_partner_logps=reference_partner_logps)
    rho = policy_partner_logps.detach().double() - reference_partner_logps.detach().double()
    total, count = all_reduce(torch.stack([rho.sum(), rho.new_tensor(float(rho.numel()))])).unbind()
    # The mean over no pairs: 0 / 1.
    return (total / count.clamp(min=1)).clamp(min=0)


@dataclass(frozen=True)
class KTO:
    """`L_KTO + α·L_NLL`: each pair is one desirable and one undesirable example, and the NLL is of the desirable one.

    Attributes:
        beta: KTO's `β`, above 0.
        alpha: weight `α` of the NLL of chosen, at least 0. At 0 the NLL is reported but has no gradient.
        nll_reduction: `"sequence"`, `"token"` or `"sum"`; see `icr.losses.nll.nll_loss`.
        desirable_weight, undesirable_weight: `λ_D` and `λ_U`, at least 0.

    Raises:
        ValueError: where one of them is out of its range.
    """

    beta: float = 0.1
    alpha: float = 1.0
    nll_reduction: str = "sequence"
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    needs_rejected: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = True
    needs_partner: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_number("beta", self.beta, above=0)
        require_number("alpha", self.alpha, least=0)
        require_one_of("nll_reduction", self.nll_reduction, REDUCTIONS)
        require_number("desirable_weight", self.desirable_weight, least=0)
        require_number("undesirable_weight", self.undesirable_weight, least=0)

    def __call__(
        self,
        policy: PolicyLogps,
        reference: ReferenceLogps | None,
        totals: StepTotals,
        all_reduce: AllReduce = identity,
    ) -> LossOutput:
        """This micro-batch's share of the step's loss; see `icr.losses.objective.Objective`.

        The preference loss of a pair is the mean of its two examples' losses. `metrics["kl"]` is `z_0`.
        """
        reference = require_reference("KTO", reference)
        kl = kl_estimate(*_partners(policy, reference), all_reduce=all_reduce)
        desirable, undesirable, chosen_rewards, rejected_rewards = kto_loss(
            policy.chosen,
            policy.rejected,
            reference.chosen,
            reference.rejected,
            kl,
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
        )
        output = with_nll(
            (desirable + undesirable) / 2,
            chosen_rewards,
            rejected_rewards,
            policy,
            totals,
            alpha=self.alpha,
            nll_reduction=self.nll_reduction,
        )
        output.metrics["kl"] = kl
        return output


def _partners(policy: PolicyLogps, reference: ReferenceLogps) -> tuple[torch.Tensor, torch.Tensor]:
    """Policy's and reference's log-probs of the partners' chosen and rejected responses. Shape `[2P]` each."""
    named = {
        "partner_chosen": policy.partner_chosen,
        "partner_rejected": policy.partner_rejected,
        "reference_partner_chosen": reference.partner_chosen,
        "reference_partner_rejected": reference.partner_rejected,
    }
    logps = {name: part for name, part in named.items() if part is not None}
    if len(logps) < len(named):
        raise ValueError(
            "KTO needs the partners' log-probs (empty tensors where no pair has one), and this batch has none"
        )
    require_same_shape(**logps)
    chosen, rejected, reference_chosen, reference_rejected = logps.values()
    return torch.cat([chosen, rejected]), torch.cat([reference_chosen, reference_rejected])
