"""Each loss, value and gradient, against its equation written out with `math` in float64."""

from __future__ import annotations

import math

import pytest
import torch

from icr.losses import dpo_loss, dpo_norm_loss, ipo_loss, kl_estimate, kto_loss, nll_loss, tail_weighted
from icr.types import StepTotals

CHOSEN, REJECTED = [-12.0, -30.5, -7.25], [-14.0, -21.0, -7.25]
REF_CHOSEN, REF_REJECTED = [-13.0, -29.0, -9.0], [-11.5, -25.0, -3.0]
BETA = 0.3


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def tensors() -> list[torch.Tensor]:
    policy = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (CHOSEN, REJECTED)]
    return policy + [torch.tensor(x, dtype=torch.float64) for x in (REF_CHOSEN, REF_REJECTED)]


def margins() -> list[float]:
    return [(w - rw) - (l - rl) for w, l, rw, rl in zip(CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED, strict=True)]


def assert_close(actual: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_dpo(epsilon):
    x = tensors()
    losses, chosen_rewards, rejected_rewards = dpo_loss(*x, beta=BETA, label_smoothing=epsilon)
    losses.sum().backward()
    h = [BETA * m for m in margins()]
    assert_close(losses, [-(1 - epsilon) * math.log(sigmoid(a)) - epsilon * math.log(sigmoid(-a)) for a in h])
    slope = [-(1 - epsilon) * BETA * sigmoid(-a) + epsilon * BETA * sigmoid(a) for a in h]
    assert_close(x[0].grad, slope)
    assert_close(x[1].grad, [-s for s in slope])
    assert_close(chosen_rewards, [BETA * (w - r) for w, r in zip(CHOSEN, REF_CHOSEN, strict=True)])
    assert_close(rejected_rewards, [BETA * (w - r) for w, r in zip(REJECTED, REF_REJECTED, strict=True)])
    assert not chosen_rewards.requires_grad
    assert not rejected_rewards.requires_grad


def test_dpo_stays_finite_where_the_sigmoid_is_zero():
    policy = torch.tensor([-5000.0], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.float64)
    losses, _, _ = dpo_loss(policy, zero, zero, zero, beta=1.0)
    losses.sum().backward()
    assert_close(losses, [5000.0])
    assert_close(policy.grad, [-1.0])


def test_dpo_norm():
    """`−log σ(β·[ρ_w/|y_w| − ρ_l/|y_l|])`: −12 + 13 = 1 nat over 4 tokens is 0.25 a token, and so on."""
    x, chosen_lengths, rejected_lengths = tensors(), [4, 3, 7], [5, 2, 1]
    losses, chosen_rewards, rejected_rewards = dpo_norm_loss(
        *x, torch.tensor(chosen_lengths), torch.tensor(rejected_lengths), beta=BETA
    )
    losses.sum().backward()
    w = [BETA * (p - r) / n for p, r, n in zip(CHOSEN, REF_CHOSEN, chosen_lengths, strict=True)]
    l = [BETA * (p - r) / n for p, r, n in zip(REJECTED, REF_REJECTED, rejected_lengths, strict=True)]
    assert w[0] == BETA * 0.25
    h = [a - b for a, b in zip(w, l, strict=True)]
    assert_close(losses, [-math.log(sigmoid(a)) for a in h])
    assert_close(x[0].grad, [-BETA / n * sigmoid(-a) for a, n in zip(h, chosen_lengths, strict=True)])
    assert_close(x[1].grad, [BETA / n * sigmoid(-a) for a, n in zip(h, rejected_lengths, strict=True)])
    assert_close(chosen_rewards, w)
    assert_close(rejected_rewards, l)
    assert not chosen_rewards.requires_grad
    assert not rejected_rewards.requires_grad


@pytest.mark.parametrize(("weight", "expected"), [(0.0, [-3.0, -4.0]), (0.25, [-4.75, -4.0]), (1.0, [-10.0, -4.0])])
def test_the_tail_is_weighted(weight, expected):
    """Of −10 nats in all, −3 up to the shorter length: −3 + a·(−7). The second response has no tail."""
    logps = torch.tensor([-10.0, -4.0], dtype=torch.float64, requires_grad=True)
    heads = torch.tensor([-3.0, -4.0], dtype=torch.float64, requires_grad=True)
    weighted = tail_weighted(logps, heads, tail_weight=weight)
    assert_close(weighted, expected)
    weighted.sum().backward()
    assert_close(logps.grad, [weight] * 2)
    assert_close(heads.grad, [1 - weight] * 2)


def test_ipo():
    x = tensors()
    losses, chosen_rewards, rejected_rewards = ipo_loss(*x, beta=BETA)
    losses.sum().backward()
    off = [m - 1 / (2 * BETA) for m in margins()]
    assert_close(losses, [a * a for a in off])
    assert_close(x[0].grad, [2 * a for a in off])
    assert_close(x[1].grad, [-2 * a for a in off])
    assert_close(chosen_rewards, [BETA * (w - r) for w, r in zip(CHOSEN, REF_CHOSEN, strict=True)])
    assert_close(rejected_rewards, [BETA * (w - r) for w, r in zip(REJECTED, REF_REJECTED, strict=True)])
    assert not chosen_rewards.requires_grad
    assert not rejected_rewards.requires_grad


def test_kto():
    x, z = tensors(), 0.75
    kl = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    desirable, undesirable, chosen_rewards, rejected_rewards = kto_loss(
        *x, kl, beta=BETA, desirable_weight=1.5, undesirable_weight=0.7
    )
    (desirable.sum() + undesirable.sum()).backward()
    a = [BETA * (w - r - z) for w, r in zip(CHOSEN, REF_CHOSEN, strict=True)]
    b = [BETA * (z - (l - r)) for l, r in zip(REJECTED, REF_REJECTED, strict=True)]
    assert_close(desirable, [1.5 * (1 - sigmoid(v)) for v in a])
    assert_close(undesirable, [0.7 * (1 - sigmoid(v)) for v in b])
    assert_close(x[0].grad, [-1.5 * BETA * sigmoid(v) * sigmoid(-v) for v in a])
    assert_close(x[1].grad, [0.7 * BETA * sigmoid(v) * sigmoid(-v) for v in b])
    assert kl.grad is None
    assert_close(chosen_rewards, [BETA * (w - r) for w, r in zip(CHOSEN, REF_CHOSEN, strict=True)])
    assert_close(rejected_rewards, [BETA * (l - r) for l, r in zip(REJECTED, REF_REJECTED, strict=True)])
    assert not chosen_rewards.requires_grad
    assert not rejected_rewards.requires_grad


def test_kl_is_the_mean_of_rho_without_gradient():
    policy = torch.tensor([-1.0, -5.0, -2.0], dtype=torch.float64, requires_grad=True)
    kl = kl_estimate(policy, torch.tensor([-4.0, -4.0, -3.0], dtype=torch.float64))
    assert kl.item() == 1.0
    assert not kl.requires_grad


def test_kl_is_never_below_zero():
    assert kl_estimate(torch.tensor([-9.0, 0.0]), torch.tensor([-1.0, 0.0])).item() == 0.0


def test_kl_over_ranks_is_the_mean_over_pairs_and_not_of_means():
    """Rank 0 holds three pairs of ρ 1, rank 1 one of ρ 9, rank 2 none: (3 + 9) / 4, on every rank."""
    held = [torch.full((n,), rho, dtype=torch.float64) for n, rho in ((3, 1.0), (1, 9.0), (0, 0.0))]
    sent = []
    for rho in held:
        kl_estimate(rho, torch.zeros_like(rho), all_reduce=lambda x: sent.append(x) or x)
    assert len(sent) == 3  # once on every rank, or the others would wait for ever
    for rho in held:
        assert kl_estimate(rho, torch.zeros_like(rho), all_reduce=lambda x: sum(sent)).item() == 3.0


def test_kl_of_no_pairs_is_zero():
    none = torch.zeros(0, dtype=torch.float64)
    assert kl_estimate(none, none).item() == 0.0


TOKENS, LENGTHS = [-1.0, -2.0, -3.0, -0.5, -4.0, -1.5], [3, 1, 2]


@pytest.mark.parametrize(
    ("reduction", "value", "gradient"),
    [
        # means per token 2, 0.5, 2.75; sums 6, 0.5, 5.5; the step has 4 pairs and 10 chosen tokens
        ("sequence", 5.25 / 4, [-1 / 12] * 3 + [-1 / 4] + [-1 / 8] * 2),
        ("token", 12 / 10, [-1 / 10] * 6),
        ("sum", 12 / 4, [-1 / 4] * 6),
    ],
)
def test_nll(reduction, value, gradient):
    tokens = torch.tensor(TOKENS, dtype=torch.float64, requires_grad=True)
    share, means = nll_loss(tokens, torch.tensor(LENGTHS), reduction=reduction, totals=StepTotals(4, 10))
    share.backward()
    assert share.item() == pytest.approx(value, abs=1e-14)
    assert_close(tokens.grad, gradient)
    assert_close(means, [2.0, 0.5, 2.75])
    assert not means.requires_grad


def test_nll_is_summed_in_float64():
    """In float32, 2²⁴ + 1 is 2²⁴, and the ones would be lost."""
    tokens = torch.tensor([-(2.0**24)] + [-1.0] * 5, dtype=torch.float32)
    share, _ = nll_loss(tokens, torch.tensor([6]), reduction="sum", totals=StepTotals(1, 6))
    assert share.dtype == torch.float64
    assert share.item() == 2.0**24 + 5


@pytest.mark.parametrize("loss", [dpo_loss, ipo_loss])
def test_shapes_must_agree(loss):
    x = tensors()
    with pytest.raises(ValueError, match=r"one shape \[B\].*reference_rejected_logps \[1\]"):
        loss(*x[:3], x[3][:1], beta=BETA)
    with pytest.raises(ValueError, match=r"one shape \[B\]"):
        loss(*[part[:, None] for part in x], beta=BETA)


def test_lengths_and_heads_have_the_shape_of_the_log_probs():
    x = tensors()
    with pytest.raises(ValueError, match=r"one shape \[B\].*rejected_lengths \[2\]"):
        dpo_norm_loss(*x, torch.tensor([1, 2, 3]), torch.tensor([1, 2]), beta=BETA)
    with pytest.raises(ValueError, match=r"one shape \[B\].*head_logps \[2\]"):
        tail_weighted(x[0], x[1][:2], tail_weight=0.5)


def test_kto_shapes_must_agree():
    x, weights = tensors(), dict(beta=BETA, desirable_weight=1.0, undesirable_weight=1.0)
    with pytest.raises(ValueError, match="policy_rejected_logps"):
        kto_loss(x[0], x[1][:2], x[2], x[3], torch.tensor(0.0), **weights)
    with pytest.raises(ValueError, match=r"kl must be a scalar, got shape \[3\]"):
        kto_loss(*x, torch.zeros(3), **weights)
    with pytest.raises(ValueError, match="reference_partner_logps"):
        kl_estimate(torch.zeros(2), torch.zeros(3))


@pytest.mark.parametrize(
    ("tokens", "lengths", "reduction", "totals", "message"),
    [
        (6, [3, 1, 2], "mean", StepTotals(3, 6), "reduction must be one of sequence, token, sum, got 'mean'"),
        (6, [3, 1, 1], "token", StepTotals(3, 6), "add up to 5.*6 tokens"),
        (6, [3, 0, 3], "token", StepTotals(3, 6), "lengths must be at least 1"),
        (6, [3, 1, 2], "token", StepTotals(2, 6), "totals must cover"),
        (6, [3, 1, 2], "token", StepTotals(3, 5), "totals must cover"),
        (0, [], "token", StepTotals(0, 0), "totals must cover"),
    ],
)
def test_nll_refuses(tokens, lengths, reduction, totals, message):
    with pytest.raises(ValueError, match=message):
        nll_loss(torch.zeros(tokens), torch.tensor(lengths, dtype=torch.int64), reduction=reduction, totals=totals)


def test_nll_refuses_a_padded_matrix():
    with pytest.raises(ValueError, match=r"shape \[T\] and lengths \[B\], got \[2, 3\] and \[2\]"):
        nll_loss(torch.zeros(2, 3), torch.tensor([3, 3]), reduction="sum", totals=StepTotals(2, 6))
