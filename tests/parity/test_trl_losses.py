"""Values and gradients of DPO, its relatives and KTO against TRL's own `_compute_loss`, called on given log-probs in
float64.

The trainer is a stand-in that holds only what the method reads; the model hands out prepared log-probs. So all of TRL's
arithmetic runs, and a model's rounding does not blur the comparison.
"""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from icr.logps import head_sums
from icr.losses import DPO, KTO, LDDPO, DPONorm
from icr.types import LossOutput, PolicyLogps, ReferenceLogps, StepTotals

pytest.importorskip("trl")
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer

PROMPT, LENGTHS = 3, ([4, 1, 6], [2, 5, 3])


class Model:
    """Answers each call with the next of `answers`: log-probs of the tokens after the first, 0 off the completion."""

    training = True

    def __init__(self, *answers: torch.Tensor) -> None:
        self.answers = iter(answers)

    def __call__(self, **inputs) -> SimpleNamespace:
        logps = next(self.answers)
        assert logps.shape[1] == inputs["labels"].shape[1] - 1
        zeros = torch.zeros_like(logps)
        return SimpleNamespace(log_probs=logps, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())


def trainer(**settings) -> SimpleNamespace:
    accelerator = SimpleNamespace(device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x)
    return SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=accelerator,
        **{"precompute_ref_logps": True, **settings},
        aux_loss_enabled=False,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
    )


def dpo_trainer(loss_types: list[str], alpha: float, **settings) -> SimpleNamespace:
    plain = dict(label_smoothing=0.0, ld_alpha=None, f_divergence_type="reverse_kl", use_weighting=False)
    return trainer(loss_types=loss_types, loss_weights=[1.0, alpha], **{**plain, **settings})


def completions(lengths: list[int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs of the tokens after the first, a leaf, zero outside the completion; and the completion mask."""
    width = PROMPT + max(map(max, LENGTHS))
    mask = torch.zeros(len(lengths), width, dtype=torch.int64)
    for row, length in enumerate(lengths):
        mask[row, PROMPT : PROMPT + length] = 1
    noise = torch.rand(len(lengths), width - 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (-4 * noise * mask[:, 1:]).requires_grad_(), mask


def inputs(mask: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(input_ids=torch.ones_like(mask), attention_mask=torch.ones_like(mask), completion_mask=mask)


def ours(objective, chosen, rejected, reference, partners=(None, None, None, None), heads=(None, None)) -> LossOutput:
    """Ours; `heads` are the reference's."""
    masks = [completions(lengths, 0)[1][:, 1:].bool() for lengths in LENGTHS]
    tokens, lengths = [chosen[masks[0]], rejected[masks[1]]], list(map(torch.tensor, LENGTHS))
    shorter = torch.minimum(*lengths)
    policy = PolicyLogps(
        chosen.sum(1),
        rejected.sum(1),
        tokens[0],
        lengths[0],
        *partners[:2],
        rejected_lengths=lengths[1],
        chosen_head=head_sums(tokens[0], lengths[0], shorter),
        rejected_head=head_sums(tokens[1], lengths[1], shorter),
    )
    totals = StepTotals(pairs=len(LENGTHS[0]), chosen_tokens=sum(LENGTHS[0]))
    return objective(policy, ReferenceLogps(*reference, *partners[2:], *heads), totals)


REFERENCE = (
    torch.tensor([-9.0, -3.0, -11.0], dtype=torch.float64),
    torch.tensor([-3.5, -12.0, -7.0], dtype=torch.float64),
)


@pytest.mark.parametrize("alpha", [1.0, 0.2])
def test_dpo_with_nll(alpha):
    both, mask = completions(LENGTHS[0] + LENGTHS[1], seed=1)
    stand_in = dpo_trainer(["sigmoid", "sft"], alpha, beta=0.1)
    batch = inputs(mask) | dict(ref_chosen_logps=REFERENCE[0], ref_rejected_logps=REFERENCE[1])
    theirs = DPOTrainer._compute_loss(stand_in, Model(both), batch, return_outputs=False)

    output = ours(DPO(beta=0.1, alpha=alpha, nll_reduction="token"), *both.chunk(2), REFERENCE)

    assert output.loss.item() == pytest.approx(theirs.item(), abs=1e-12)
    assert_same_gradient(output.loss, theirs, both, mask)
    metrics = stand_in._metrics["train"]
    assert output.chosen_rewards.mean().item() == pytest.approx(metrics["rewards/chosen"][0], abs=1e-6)
    assert output.rejected_rewards.mean().item() == pytest.approx(metrics["rewards/rejected"][0], abs=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 0.2])
@pytest.mark.parametrize("beta", [0.1, 5.0])
def test_dpo_norm_with_nll(alpha, beta):
    both, mask = completions(LENGTHS[0] + LENGTHS[1], seed=4)
    stand_in = dpo_trainer(["sigmoid_norm", "sft"], alpha, beta=beta)
    batch = inputs(mask) | dict(ref_chosen_logps=REFERENCE[0], ref_rejected_logps=REFERENCE[1])
    theirs = DPOTrainer._compute_loss(stand_in, Model(both), batch, return_outputs=False)
    output = ours(DPONorm(beta=beta, alpha=alpha, nll_reduction="token"), *both.chunk(2), REFERENCE)
    assert output.loss.item() == pytest.approx(theirs.item(), abs=1e-12)
    assert_same_gradient(output.loss, theirs, both, mask)


@pytest.mark.parametrize("alpha", [1.0, 0.2])
@pytest.mark.parametrize("tail_weight", [0.0, 0.4, 1.0])
def test_ld_dpo_with_nll(alpha, tail_weight):
    """The reference's log-probs go through TRL's own weighting, too."""
    both, mask = completions(LENGTHS[0] + LENGTHS[1], seed=5)
    base = completions(LENGTHS[0] + LENGTHS[1], seed=6)[0].detach()
    stand_in = dpo_trainer(["sigmoid", "sft"], alpha, beta=0.3, ld_alpha=tail_weight, precompute_ref_logps=False)
    stand_in.args = SimpleNamespace(gradient_checkpointing_kwargs=None)
    stand_in.model, stand_in.ref_model = torch.nn.Module(), Model(base)
    stand_in.model.is_gradient_checkpointing = False
    theirs = DPOTrainer._compute_loss(stand_in, Model(both), inputs(mask), return_outputs=False)
    chosen, rejected = base.chunk(2)
    shorter = torch.minimum(*map(torch.tensor, LENGTHS))
    heads = [side[:, PROMPT - 1 :].cumsum(1)[range(3), shorter - 1] for side in (chosen, rejected)]
    objective = LDDPO(beta=0.3, alpha=alpha, tail_weight=tail_weight, nll_reduction="token")
    output = ours(objective, *both.chunk(2), (chosen.sum(1), rejected.sum(1)), heads=heads)
    assert output.loss.item() == pytest.approx(theirs.item(), abs=1e-12)
    assert_same_gradient(output.loss, theirs, both, mask, zeros=tail_weight == 0)
    metrics = stand_in._metrics["train"]
    assert output.chosen_rewards.mean().item() == pytest.approx(metrics["rewards/chosen"][0], abs=1e-6)


@pytest.mark.parametrize("shift", [2.0, -20.0], ids=["kl above 0", "kl clamped"])
def test_kto(shift):
    both, mask = completions(LENGTHS[0] + LENGTHS[1], seed=2)
    partners, partner_mask = completions(LENGTHS[1] + LENGTHS[0], seed=3)
    reference_partners = partners.detach().sum(1) - shift
    stand_in = trainer(loss_type="kto", calculate_KL=True, beta=0.1, desirable_weight=1.4, undesirable_weight=0.8)
    stand_in._compute_kl_logps = lambda model, batch: KTOTrainer._compute_kl_logps(stand_in, model, batch)
    batch = inputs(mask) | {f"KL_{name}": value for name, value in inputs(partner_mask).items()}
    batch |= dict(
        label=torch.tensor([True] * 3 + [False] * 3),
        ref_logps=torch.cat(REFERENCE),
        ref_KL_logps=reference_partners,
    )
    theirs = KTOTrainer._compute_loss(stand_in, Model(partners, both), batch, return_outputs=False)

    objective = KTO(beta=0.1, alpha=0.0, desirable_weight=1.4, undesirable_weight=0.8)
    sides = (*partners.detach().sum(1).chunk(2), *reference_partners.chunk(2))
    output = ours(objective, *both.chunk(2), REFERENCE, sides)

    assert output.loss.item() == pytest.approx(theirs.item(), abs=1e-12)
    assert output.metrics["kl"].item() == pytest.approx(max(0.0, shift), abs=1e-12)
    assert output.metrics["kl"].item() == pytest.approx(stand_in._metrics["train"]["kl"][0], abs=1e-12)
    assert_same_gradient(output.loss, theirs, both, mask)


def assert_same_gradient(
    ours: torch.Tensor, theirs: torch.Tensor, leaf: torch.Tensor, mask: torch.Tensor, zeros: bool = False
) -> None:
    """At completion tokens; elsewhere the log-probs are constants, whatever the gradient of a plain sum says."""
    keep = mask[:, 1:].bool()
    a, b = (torch.autograd.grad(loss, leaf)[0][keep] for loss in (ours, theirs))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    assert (b != 0).all() or zeros
