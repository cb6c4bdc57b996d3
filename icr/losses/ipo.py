"""Identity Preference Optimization (Azar et al. 2023, arXiv 2310.12036)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from icr.checks import require_number, require_one_of
from icr.losses.checks import require_reference, require_same_shape
from icr.losses.nll import REDUCTIONS, with_nll
from icr.losses.objective import AllReduce, identity

if TYPE_CHECKING:
    import torch

    from icr.types import LossOutput, PolicyLogps, ReferenceLogps, StepTotals


def ipo_loss(
    policy_chosen_logps: torch.Tensor,
    policy_rejected_logps: torch.Tensor,
    reference_chosen_logps: torch.Tensor,
    reference_rejected_logps: torch.Tensor,
    *,
    beta: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """IPO loss of each pair: `(h − 1/(2β))²`, equation 17 of Azar et al., whose `τ` is `β` here.

    `h = (log π(y_w|x) − log π_ref(y_w|x)) − (log π(y_l|x) − log π_ref(y_l|x))`, log-probs summed over tokens as in the
    paper. TRL divides each log-ratio by the response's length first, which this does not.

    Args:
        policy_chosen_logps, policy_rejected_logps: `log π(y|x)` summed over tokens, nats. Shape `[B]`.
        reference_chosen_logps, reference_rejected_logps: the same under the training reference. Shape `[B]`.
        beta: strength of the regularisation, above 0; the margin aimed at is `1/(2β)` nats.

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
    chosen_logratios = policy_chosen_logps - reference_chosen_logps
    rejected_logratios = policy_rejected_logps - reference_rejected_logps
    losses = (chosen_logratios - rejected_logratios - 1 / (2 * beta)).square()
    return losses, beta * chosen_logratios.detach(), beta * rejected_logratios.detach()


@dataclass(frozen=True)
class IPO:
    """`L_IPO + α·L_NLL`.

    Attributes:
        beta: IPO's `τ`, above 0.
        alpha: weight `α` of the NLL of chosen, at least 0. At 0 the NLL is reported but has no gradient.
        nll_reduction: `"sequence"`, `"token"` or `"sum"`; see `icr.losses.nll.nll_loss`.

    Raises:
        ValueError: where one of them is out of its range.
    """

    beta: float = 0.1
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
        reference = require_reference("IPO", reference)
        losses, chosen_rewards, rejected_rewards = ipo_loss(
            policy.chosen, policy.rejected, reference.chosen, reference.rejected, beta=self.beta
        )
        return with_nll(
            losses, chosen_rewards, rejected_rewards, policy, totals, alpha=self.alpha, nll_reduction=self.nll_reduction
        )
