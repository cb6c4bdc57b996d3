"""A loss of one's own: the hinge loss of SLiC on DPO's margin, checked by hand.

A loss is a frozen dataclass: its hyper-parameters, three flags that say what it needs of a batch, and an equation over
log-probs (`icr.losses.objective.Objective`). In a run it is named by its path, here on the keys of `loss=ipo`:

    PYTHONPATH=examples icr run loss=ipo loss._target_=own_loss.Hinge +loss.margin=1.0
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from icr.losses import AllReduce, identity
from icr.losses.nll import with_nll
from icr.types import LossOutput, PolicyLogps, ReferenceLogps, StepTotals


@dataclass(frozen=True)
class Hinge:
    """`max(0, margin − β·[log π(y_w)/π_ref(y_w) − log π(y_l)/π_ref(y_l)]) + alpha · NLL(y_w)` (Zhao et al. 2023)."""

    beta: float = 0.1
    alpha: float = 1.0
    nll_reduction: str = "sequence"
    margin: float = 1.0

    needs_rejected: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = True
    needs_partner: ClassVar[bool] = False

    def __call__(
        self,
        policy: PolicyLogps,
        reference: ReferenceLogps | None,
        totals: StepTotals,
        all_reduce: AllReduce = identity,
    ) -> LossOutput:
        """This micro-batch's share of the step's loss."""
        if reference is None:
            raise ValueError("Hinge needs the reference's log-probs, and this batch has none")
        chosen = self.beta * (policy.chosen - reference.chosen)
        rejected = self.beta * (policy.rejected - reference.rejected)
        losses = torch.relu(self.margin - (chosen - rejected))
        return with_nll(
            losses,
            chosen.detach(),
            rejected.detach(),
            policy,
            totals,
            alpha=self.alpha,
            nll_reduction=self.nll_reduction,
        )


if __name__ == "__main__":
    # Two pairs; each chosen response has two tokens of −1 nat.
    policy = PolicyLogps(
        chosen=torch.tensor([-2.0, -2.0], dtype=torch.float64),
        rejected=torch.tensor([-6.0, -3.0], dtype=torch.float64),
        chosen_token_logps=torch.full((4,), -1.0),
        chosen_lengths=torch.tensor([2, 2]),
    )
    reference = ReferenceLogps(chosen=torch.tensor([-4.0, -2.0]), rejected=torch.tensor([-4.0, -4.0]))
    made = Hinge(beta=0.5)(policy, reference, StepTotals(pairs=2, chosen_tokens=4))
    # Margins are 0.5·(2 − (−2)) = 2 and 0.5·(0 − 1) = −0.5, so that the hinge is 0 and 1.5; the NLL is 1 nat per token.
    by_hand = (0.0 + 1.5) / 2 + 1.0
    print(f"loss {made.loss.item():.4f}, by hand {by_hand:.4f}")
    assert abs(made.loss.item() - by_hand) < 1e-12
