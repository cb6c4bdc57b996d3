"""Negative log-likelihood of the chosen responses: a term beside a preference loss, and an objective by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from icr.checks import require_one_of
from icr.losses.objective import AllReduce, identity
from icr.types import LossOutput

if TYPE_CHECKING:
    from icr.types import PolicyLogps, ReferenceLogps, StepTotals

REDUCTIONS = ("sequence", "token", "sum")


def nll_loss(
    token_logps: torch.Tensor, lengths: torch.Tensor, *, reduction: str, totals: StepTotals
) -> tuple[torch.Tensor, torch.Tensor]:
    """This micro-batch's share of the step's NLL; the shares of a step's micro-batches add up to

    - `sequence`: `1/N Σ_i −log π(y_i|x_i)/|y_i|`, the mean per token in each response, then over the step's pairs
      (LLaMA-Factory);
    - `token`: `Σ_i −log π(y_i|x_i) / Σ_i |y_i|`, the mean over all chosen tokens of the step (TRL's `sft`);
    - `sum`: `1/N Σ_i −log π(y_i|x_i)`, the method's formula taken literally.

    Args:
        token_logps: log-prob of each chosen token in nats, responses one after the other. Shape `[T]`.
        lengths: tokens of each chosen response, at least 1, adding up to `T`. Shape `[B]`, integer.
        reduction: `"sequence"`, `"token"` or `"sum"`.
        totals: pairs and chosen tokens of the whole optimiser step.

    Returns:
        The share, a float64 scalar with gradient, and each response's mean NLL per token in nats, detached, float64.
        Shape `[B]`.

    Raises:
        ValueError: where `reduction` is unknown, a length is below 1, the lengths do not add up to `T`, or `totals` is
            smaller than this micro-batch.
    """
    require_one_of("reduction", reduction, REDUCTIONS)
    _check_sizes(token_logps, lengths, totals)
    pairs, tokens = lengths.numel(), token_logps.numel()
    lengths = lengths.to(token_logps.device)
    owner = torch.repeat_interleave(torch.arange(pairs, device=lengths.device), lengths, output_size=tokens)
    sums = token_logps.new_zeros(pairs, dtype=torch.float64).index_add(0, owner, -token_logps.double())
    means = sums / lengths
    if reduction == "sequence":
        share = means.sum() / totals.pairs
    elif reduction == "token":
        share = sums.sum() / totals.chosen_tokens
    else:
        share = sums.sum() / totals.pairs
    return share, means.detach()


def _check_sizes(token_logps: torch.Tensor, lengths: torch.Tensor, totals: StepTotals) -> None:
    if token_logps.ndim != 1 or lengths.ndim != 1:
        raise ValueError(
            f"token_logps must have shape [T] and lengths [B], got {list(token_logps.shape)} and {list(lengths.shape)}"
        )
    # One look at the values, so that a device is waited for once.
    values = lengths.tolist()
    if any(value < 1 for value in values):
        raise ValueError(f"lengths must be at least 1, got {values}")
    if sum(values) != token_logps.numel():
        raise ValueError(f"lengths add up to {sum(values)}, but token_logps has {token_logps.numel()} tokens")
    if totals.pairs < max(1, len(values)) or totals.chosen_tokens < max(1, sum(values)):
        raise ValueError(
            f"totals must cover the micro-batch's {len(values)} pairs and {sum(values)} tokens, got {totals}"
        )


def with_nll(
    losses: torch.Tensor,
    chosen_rewards: torch.Tensor,
    rejected_rewards: torch.Tensor,
    policy: PolicyLogps,
    totals: StepTotals,
    *,
    alpha: float,
    nll_reduction: str,
) -> LossOutput:
    """`Σ_i losses_i / totals.pairs + α·(share of the NLL of chosen)`, in float64; at `α = 0` the NLL is only reported.

    Args:
        losses: preference loss of each pair, with gradient. Shape `[B]`.
        chosen_rewards, rejected_rewards: `β·log(π/π_ref)` in nats, detached. Shape `[B]`.
        policy: where the chosen tokens' log-probs are.
        totals: size of the whole optimiser step.
        alpha: weight of the NLL, at least 0.
        nll_reduction: see `nll_loss`.

    Raises:
        ValueError: as `nll_loss` does, or where the chosen responses are not as many as the pairs.
    """
    if policy.chosen_lengths.numel() != losses.numel():
        raise ValueError(f"chosen_lengths has {policy.chosen_lengths.numel()} entries for {losses.numel()} pairs")
    share, nll = nll_loss(policy.chosen_token_logps, policy.chosen_lengths, reduction=nll_reduction, totals=totals)
    loss = losses.sum(dtype=torch.float64) / totals.pairs
    if alpha > 0:
        loss = loss + alpha * share
    return LossOutput(loss, losses.detach(), nll, chosen_rewards, rejected_rewards)


@dataclass(frozen=True)
class NLL:
    """`L_NLL` alone, on chosen: supervised fine-tuning, and the control for what the preference term adds.

    Attributes:
        nll_reduction: `"sequence"`, `"token"` or `"sum"`; see `nll_loss`.

    Raises:
        ValueError: where it is none of these.
    """

    nll_reduction: str = "sequence"

    needs_rejected: ClassVar[bool] = False
    needs_reference: ClassVar[bool] = False
    needs_partner: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_one_of("nll_reduction", self.nll_reduction, REDUCTIONS)

    def __call__(
        self,
        policy: PolicyLogps,
        reference: ReferenceLogps | None,
        totals: StepTotals,
        all_reduce: AllReduce = identity,
    ) -> LossOutput:
        """This micro-batch's share of the step's loss; see `icr.losses.objective.Objective`.

        `preference` and both rewards are zeros of shape `[B]`: without a reference there is nothing to report there.
        """
        share, means = nll_loss(
            policy.chosen_token_logps, policy.chosen_lengths, reduction=self.nll_reduction, totals=totals
        )
        none = torch.zeros_like(means)
        return LossOutput(share, preference=none, nll=means, chosen_rewards=none, rejected_rewards=none)
