"""Objectives: what they add up, what they need of a batch, what they refuse; cutting a step changes nothing."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icr.losses import (
    DPO,
    IPO,
    KTO,
    LDDPO,
    NLL,
    DPONorm,
    dpo_loss,
    dpo_norm_loss,
    ipo_loss,
    kl_estimate,
    kto_loss,
    nll_loss,
    tail_weighted,
)
from icr.types import PolicyLogps, ReferenceLogps, StepTotals

REDUCTIONS = ["sequence", "token", "sum"]


def logps(step) -> tuple[torch.Tensor, ...]:
    return step.policy.chosen, step.policy.rejected, step.reference.chosen, step.reference.rejected


def nll(step, reduction) -> torch.Tensor:
    return nll_loss(
        step.policy.chosen_token_logps, step.policy.chosen_lengths, reduction=reduction, totals=step.totals
    )[0]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("pair_loss", [dpo_loss, ipo_loss])
def test_pair_objective_is_mean_preference_plus_alpha_nll(make_step, pair_loss, reduction):
    step = make_step()
    objective = {dpo_loss: DPO, ipo_loss: IPO}[pair_loss](beta=0.2, alpha=0.7, nll_reduction=reduction)
    output = objective(step.policy, step.reference, step.totals)
    losses, chosen, rejected = pair_loss(*logps(step), beta=0.2)
    expected = losses.mean() + 0.7 * nll(step, reduction)
    assert output.loss.item() == pytest.approx(expected.item(), abs=1e-13)
    read = step.leaves[:3]
    got = torch.autograd.grad(output.loss, read)
    for a, b in zip(got, torch.autograd.grad(expected, read), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)
        assert a.abs().sum() > 0
    assert torch.equal(output.preference, losses)
    assert torch.equal(output.chosen_rewards, chosen)
    assert torch.equal(output.rejected_rewards, rejected)
    assert not any(x.requires_grad for x in (output.preference, output.nll, chosen, rejected))


def test_dpo_smooths(make_step):
    step = make_step()
    output = DPO(alpha=0, label_smoothing=0.3)(step.policy, step.reference, step.totals)
    assert torch.equal(output.preference, dpo_loss(*logps(step), beta=0.1, label_smoothing=0.3)[0])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_dpo_norm_objective(make_step, reduction):
    step = make_step()
    output = DPONorm(beta=2.0, alpha=0.7, nll_reduction=reduction)(step.policy, step.reference, step.totals)
    lengths = step.policy.chosen_lengths, step.policy.rejected_lengths
    losses, chosen, rejected = dpo_norm_loss(*logps(step), *lengths, beta=2.0)
    assert output.loss.item() == pytest.approx((losses.mean() + 0.7 * nll(step, reduction)).item(), abs=1e-13)
    assert torch.equal(output.preference, losses)
    assert torch.equal(output.chosen_rewards, chosen)
    assert torch.equal(output.rejected_rewards, rejected)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_ld_dpo_objective(make_step, weight):
    step = make_step()
    output = LDDPO(beta=0.2, alpha=0.7, tail_weight=weight)(step.policy, step.reference, step.totals)
    heads = step.policy.chosen_head, step.policy.rejected_head, step.reference.chosen_head, step.reference.rejected_head
    weighted = [tail_weighted(a, b, tail_weight=weight) for a, b in zip(logps(step), heads, strict=True)]
    losses, chosen, rejected = dpo_loss(*weighted, beta=0.2)
    assert output.loss.item() == pytest.approx((losses.mean() + 0.7 * nll(step, "sequence")).item(), abs=1e-13)
    assert torch.equal(output.preference, losses)
    assert torch.equal(output.chosen_rewards, chosen)
    assert torch.equal(output.rejected_rewards, rejected)


def test_ld_dpo_with_the_whole_tail_is_dpo(make_step):
    step = make_step()
    whole = LDDPO(tail_weight=1.0)(step.policy, step.reference, step.totals)
    assert torch.equal(whole.loss, DPO()(step.policy, step.reference, step.totals).loss)


@pytest.mark.parametrize("side", ["policy", "reference"])
def test_ld_dpo_refuses_a_batch_without_heads(make_step, side):
    step = make_step()
    getattr(step, side).rejected_head = None
    with pytest.raises(ValueError, match="LDDPO needs the log-probs of the responses' heads"):
        LDDPO()(step.policy, step.reference, step.totals)


def test_dpo_norm_refuses_a_batch_without_lengths(make_step):
    step = make_step()
    step.policy.rejected_lengths = None
    with pytest.raises(ValueError, match="DPONorm needs the lengths of the rejected responses"):
        DPONorm()(step.policy, step.reference, step.totals)


def test_kto_objective(make_step):
    step = make_step()
    output = KTO(beta=0.5, alpha=0.25, desirable_weight=1.3, undesirable_weight=0.6)(
        step.policy, step.reference, step.totals
    )
    p, r = step.policy, step.reference
    kl = kl_estimate(
        torch.cat([p.partner_chosen, p.partner_rejected]), torch.cat([r.partner_chosen, r.partner_rejected])
    )
    assert kl > 0  # or the test would not see it
    desirable, undesirable, chosen, rejected = kto_loss(
        *logps(step), kl, beta=0.5, desirable_weight=1.3, undesirable_weight=0.6
    )
    expected = torch.cat([desirable, undesirable]).mean() + 0.25 * nll(step, "sequence")
    assert output.loss.item() == pytest.approx(expected.item(), abs=1e-13)
    assert torch.equal(output.preference, (desirable + undesirable) / 2)
    assert output.metrics["kl"] == kl
    assert torch.equal(output.chosen_rewards, chosen)
    assert torch.equal(output.rejected_rewards, rejected)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll_objective_needs_neither_reference_nor_rejected(make_step, reduction):
    step = make_step()
    tokens, lengths = step.policy.chosen_token_logps, step.policy.chosen_lengths
    none = torch.zeros(0, dtype=torch.float64)
    output = NLL(nll_reduction=reduction)(PolicyLogps(step.policy.chosen, none, tokens, lengths), None, step.totals)
    assert output.loss.item() == nll(step, reduction).item()
    assert output.preference.tolist() == output.chosen_rewards.tolist() == output.rejected_rewards.tolist() == [0.0] * 4
    assert (NLL.needs_rejected, NLL.needs_reference, NLL.needs_partner) == (False, False, False)


@pytest.mark.parametrize("objective", [DPO(alpha=0), IPO(alpha=0), KTO(alpha=0), DPONorm(alpha=0), LDDPO(alpha=0)])
def test_alpha_zero_reports_the_nll_without_gradient(make_step, objective):
    step = make_step()
    with torch.no_grad():
        step.policy.chosen_token_logps[0] = -torch.inf
    output = objective(step.policy, step.reference, step.totals)
    output.loss.backward()
    assert step.policy.chosen_token_logps.grad is None
    assert step.policy.chosen.grad.abs().sum() > 0
    # Not even a token of probability 0 gets into the loss, where 0·∞ would be NaN.
    assert output.loss.item() == pytest.approx(output.preference.mean().item())
    with torch.no_grad():
        means = [-part.mean() for part in step.policy.chosen_token_logps.split([3, 1, 5, 2])]
    torch.testing.assert_close(output.nll, torch.stack(means))


def cut(step, lengths, bounds) -> list[tuple[PolicyLogps, ReferenceLogps]]:
    """Micro-batches `[bounds[i], bounds[i + 1])` of a step, each with its own pairs' partners."""
    parts = []
    for a, b in pairwise(bounds):
        tokens = slice(sum(lengths[:a]), sum(lengths[:b]))
        p, r = step.policy, step.reference
        parts.append(
            (
                PolicyLogps(
                    p.chosen[a:b],
                    p.rejected[a:b],
                    p.chosen_token_logps[tokens],
                    p.chosen_lengths[a:b],
                    p.partner_chosen[a:b],
                    p.partner_rejected[a:b],
                    p.rejected_lengths[a:b],
                    p.chosen_head[a:b],
                    p.rejected_head[a:b],
                ),
                ReferenceLogps(
                    r.chosen[a:b],
                    r.rejected[a:b],
                    r.partner_chosen[a:b],
                    r.partner_rejected[a:b],
                    r.chosen_head[a:b],
                    r.rejected_head[a:b],
                ),
            )
        )
    return parts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    cuts=st.sets(st.integers(0, 8)),
    reduction=st.sampled_from(REDUCTIONS),
    kind=st.sampled_from([DPO, IPO, KTO, NLL, DPONorm, LDDPO]),
    seed=st.integers(0, 1000),
)
def test_shares_of_any_cut_add_up(make_step, lengths, cuts, reduction, kind, seed):
    """Loss and gradient of a step are those of its micro-batches together, an empty micro-batch among them.

    KTO's reference point is a statistic of the batch: `all_reduce` hands each micro-batch the sums of the whole step.
    """
    n = len(lengths)
    objective = kind(nll_reduction=reduction)
    whole, parts = (make_step(lengths, partners=n, seed=seed) for _ in range(2))
    everything = []
    output = objective(whole.policy, whole.reference, whole.totals, lambda x: everything.append(x) or x)
    output.loss.backward()
    shares = 0.0
    for policy, reference in cut(parts, lengths, [0, *sorted(c for c in cuts if c <= n), n]):
        share = objective(policy, reference, parts.totals, lambda x: everything[0]).loss
        share.backward()
        shares += share.item()
    assert shares == pytest.approx(output.loss.item(), abs=1e-12)
    for a, b in zip(parts.gradients(), whole.gradients(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_kto_batch_of_one(make_step):
    """One pair is one desirable and one undesirable example; its partner comes from elsewhere."""
    step = make_step(lengths=(4,), partners=1)
    output = KTO(alpha=0)(step.policy, step.reference, step.totals)
    p, r = step.policy, step.reference
    rho = [p.partner_chosen - r.partner_chosen, p.partner_rejected - r.partner_rejected]
    z = 0.1 * max(0.0, (rho[0] + rho[1]).item() / 2)
    w, l = 0.1 * (p.chosen - r.chosen), 0.1 * (p.rejected - r.rejected)
    expected = ((1 - torch.sigmoid(w - z)) + (1 - torch.sigmoid(z - l))) / 2
    assert z > 0
    assert output.loss.item() == pytest.approx(expected.item(), abs=1e-14)
    output.loss.backward()
    assert p.chosen.grad.item() < 0 < p.rejected.grad.item()


def test_kto_without_any_partner_has_reference_point_zero(make_step):
    step = make_step(partners=0)
    output = KTO(alpha=0)(step.policy, step.reference, step.totals)
    assert output.metrics["kl"].item() == 0.0
    expected = kto_loss(*logps(step), torch.tensor(0.0), beta=0.1, desirable_weight=1.0, undesirable_weight=1.0)
    assert output.loss.item() == pytest.approx(torch.cat(expected[:2]).mean().item(), abs=1e-14)


def test_kto_refuses_a_batch_that_never_asked_for_partners(make_step):
    step = make_step()
    step.policy.partner_rejected = None
    with pytest.raises(ValueError, match="KTO needs the partners"):
        KTO()(step.policy, step.reference, step.totals)


def test_kto_refuses_partners_of_unequal_number(make_step):
    step = make_step()
    step.reference.partner_chosen = step.reference.partner_chosen[:1]
    with pytest.raises(ValueError, match=r"reference_partner_chosen \[1\]"):
        KTO()(step.policy, step.reference, step.totals)


@pytest.mark.parametrize("objective", [DPO(), IPO(), KTO(), DPONorm(), LDDPO()])
def test_a_missing_reference_is_refused(make_step, objective):
    step = make_step()
    assert objective.needs_reference
    assert objective.needs_rejected
    assert objective.needs_partner == isinstance(objective, KTO)
    with pytest.raises(ValueError, match=f"{type(objective).__name__} needs the reference's log-probs"):
        objective(step.policy, None, step.totals)


def test_chosen_responses_must_be_as_many_as_pairs(make_step):
    step = make_step()
    step.policy.chosen_lengths = torch.tensor([3, 1, 7])
    with pytest.raises(ValueError, match="chosen_lengths has 3 entries for 4 pairs"):
        DPO()(step.policy, step.reference, StepTotals(4, 11))


@pytest.mark.parametrize("kind", [DPO, IPO, KTO, DPONorm, LDDPO])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(beta=-1), "^beta must be above 0, got -1$"),
        (dict(beta=0), "^beta must be above 0, got 0$"),
        (dict(beta=float("nan")), "^beta must be a finite number, got nan$"),
        (dict(beta=float("inf")), "^beta must be a finite number, got inf$"),
        (dict(beta="0.1"), "^beta must be a finite number, got '0.1'$"),
        (dict(beta=True), "^beta must be a finite number, got True$"),
        (dict(beta=None), "^beta must be a finite number, got None$"),
        (dict(alpha=-0.5), "^alpha must be at least 0, got -0.5$"),
        (dict(alpha=float("nan")), "^alpha must be a finite number, got nan$"),
        (dict(nll_reduction="mean"), "^nll_reduction must be one of sequence, token, sum, got 'mean'$"),
    ],
)
def test_bad_hyper_parameters_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (DPO, dict(label_smoothing=0.5), "^label_smoothing must be at least 0 and below 0.5, got 0.5$"),
        (DPO, dict(label_smoothing=-0.1), "^label_smoothing must be at least 0 and below 0.5, got -0.1$"),
        (LDDPO, dict(tail_weight=1.5), "^tail_weight must be at least 0 and at most 1, got 1.5$"),
        (LDDPO, dict(tail_weight=-0.1), "^tail_weight must be at least 0 and at most 1, got -0.1$"),
        (KTO, dict(desirable_weight=-1), "^desirable_weight must be at least 0, got -1$"),
        (KTO, dict(undesirable_weight="x"), "^undesirable_weight must be a finite number, got 'x'$"),
        (NLL, dict(nll_reduction=None), "^nll_reduction must be one of sequence, token, sum, got None$"),
    ],
)
def test_bad_settings_of_one_objective_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


def test_defaults_are_the_methods():
    assert (DPO().beta, DPO().alpha, DPO().nll_reduction, DPO().label_smoothing) == (0.1, 1.0, "sequence", 0.0)
    assert (KTO().beta, KTO().desirable_weight, KTO().undesirable_weight) == (0.1, 1.0, 1.0)
    with pytest.raises(FrozenInstanceError):
        DPO().beta = 1.0
