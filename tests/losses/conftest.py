"""Micro-batches of random log-probs in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from icr.types import PolicyLogps, ReferenceLogps, StepTotals


@dataclass
class Step:
    """One optimiser step: the leaves that gradients arrive at, and its batch."""

    policy: PolicyLogps
    reference: ReferenceLogps
    totals: StepTotals

    @property
    def leaves(self) -> list[torch.Tensor]:
        policy = self.policy
        return [policy.chosen, policy.rejected, policy.chosen_token_logps, policy.chosen_head, policy.rejected_head]

    def gradients(self) -> list[torch.Tensor]:
        return [torch.zeros_like(x) if x.grad is None else x.grad for x in self.leaves]


@pytest.fixture
def make_step() -> Callable[..., Step]:
    def make(lengths=(3, 1, 5, 2), partners: int = 3, seed: int = 0) -> Step:
        g = torch.Generator().manual_seed(seed)
        n = len(lengths)

        def logps(count: int, grad: bool = False) -> torch.Tensor:
            values = -torch.rand(count, generator=g, dtype=torch.float64) * 5
            return values.requires_grad_(grad)

        policy = PolicyLogps(
            chosen=logps(n, True),
            rejected=logps(n, True),
            chosen_token_logps=logps(sum(lengths), True),
            chosen_lengths=torch.tensor(lengths, dtype=torch.int64),
            partner_chosen=logps(partners),
            partner_rejected=logps(partners),
            rejected_lengths=torch.tensor(lengths[::-1], dtype=torch.int64),
        )
        reference = ReferenceLogps(logps(n), logps(n), logps(partners) - 3, logps(partners) - 3)
        policy.chosen_head, policy.rejected_head = logps(n, True), logps(n, True)
        reference.chosen_head, reference.rejected_head = logps(n), logps(n)
        return Step(policy, reference, StepTotals(pairs=n, chosen_tokens=sum(lengths)))

    return make
