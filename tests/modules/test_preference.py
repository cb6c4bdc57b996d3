"""`PreferenceModule` through Lightning: a step is its pairs' loss, however it is cut, with the plain gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from icr.data.collate import collate
from icr.errors import RunError
from icr.losses import DPO, IPO, KTO, LDDPO, NLL, DPONorm
from icr.models.loading import Loader
from icr.modules.pair_logps import pair_logps
from icr.modules.preference import PreferenceModule
from icr.modules.schedule import Schedule
from icr.types import StepTotals

OBJECTIVES = {
    "dpo": DPO(nll_reduction="sequence"),
    "dpo token": DPO(alpha=0.3, nll_reduction="token"),
    "dpo sum": DPO(nll_reduction="sum"),
    "dpo norm": DPONorm(beta=2.0),
    "ld dpo": LDDPO(alpha=0.3, tail_weight=0.25),
    "ipo": IPO(),
    "kto": KTO(desirable_weight=1.3, undesirable_weight=0.7),
    "nll": NLL("sequence"),
    "nll token": NLL("token"),
    "nll sum": NLL("sum"),
}


def plain_sum(model, prompt, response) -> torch.Tensor:
    """`log π(y|x)` and its tokens, by transformers' own forward of this sequence alone, in float64 after the logits."""
    logits = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1].double()
    return logits.log_softmax(-1).gather(1, torch.tensor(response)[:, None]).squeeze(1)


def plain_loss(model, reference, pairs, objective) -> torch.Tensor:
    """Method.md's equations, sequence by sequence, with the reference's forward beside the policy's."""
    losses, tokens, rho = [], [], {}
    with torch.no_grad():
        by_key = {pair.key: pair for pair in pairs}
        mismatched = [
            plain_sum(model, pair.prompt_ids, y).sum() - plain_sum(reference, pair.prompt_ids, y).sum()
            for pair in pairs
            if pair.partner
            for y in (by_key[pair.partner].chosen_ids, by_key[pair.partner].rejected_ids)
        ]
        z = max(0.0, sum(mismatched).item() / len(mismatched)) if mismatched else 0.0
    for pair in pairs:
        tokens.append(plain_sum(model, pair.prompt_ids, pair.chosen_ids))
        if isinstance(objective, NLL):
            continue
        for side in ("chosen_ids", "rejected_ids"):
            response = getattr(pair, side)
            with torch.no_grad():
                base = plain_sum(reference, pair.prompt_ids, response)
            ratios = plain_sum(model, pair.prompt_ids, response) - base
            if isinstance(objective, LDDPO):
                shorter = min(len(pair.chosen_ids), len(pair.rejected_ids))
                ratios = torch.cat([ratios[:shorter], objective.tail_weight * ratios[shorter:]])
            rho[side] = ratios.mean() if isinstance(objective, DPONorm) else ratios.sum()
        w, l, beta = rho["chosen_ids"], rho["rejected_ids"], objective.beta
        if isinstance(objective, KTO):
            desirable = objective.desirable_weight * (1 - torch.sigmoid(beta * (w - z)))
            losses.append((desirable + objective.undesirable_weight * (1 - torch.sigmoid(beta * (z - l)))) / 2)
        else:
            losses.append(-F.logsigmoid(beta * (w - l)))
    nll = {
        "sequence": sum(-t.mean() for t in tokens) / len(tokens),
        "token": -torch.cat(tokens).mean(),
        "sum": sum(-t.sum() for t in tokens) / len(tokens),
    }[objective.nll_reduction]
    return nll if isinstance(objective, NLL) else sum(losses) / len(losses) + objective.alpha * nll


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "ipo"])
def test_loss_and_gradients_are_the_plain_ones(make_model, shared_model, bare_pairs, with_reference, fit, name):
    # Seeds for which KTO's reference point is well above 0.
    objective, reference, model = OBJECTIVES[name], shared_model(seed=1), make_model(seed=5)
    pairs = with_reference(bare_pairs(4), reference)
    expected = plain_loss(model, reference, pairs, objective)
    expected.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    got = fit(model, pairs, objective, micro=2, batch=4)
    if isinstance(objective, KTO):
        assert got.metrics[0]["kl"] > 1
    assert got.losses == [pytest.approx(expected.item(), abs=2e-5)]
    largest = max(g.abs().max().item() for g in gradients.values())
    assert largest > 1e-2
    for name, gradient in got.gradients[0].items():
        scale = gradients[name].abs().max().item()
        torch.testing.assert_close(gradient, gradients[name], rtol=0, atol=max(2e-5 * scale, 1e-6 * largest))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_trajectory_does_not_depend_on_the_micro_batch(
    make_model, shared_model, bare_pairs, with_reference, fit, name
):
    """Five pairs in steps of three, two passes: steps of 3, 3, 3 and 1, which cross the passes."""
    pairs = [
        # Far enough down for KTO's reference point to be above 0 all the time.
        replace(
            pair,
            reference_partner_chosen_logp=pair.reference_partner_chosen_logp - 12,
            reference_partner_rejected_logp=pair.reference_partner_rejected_logp - 5,
        )
        for pair in with_reference(bare_pairs(5), shared_model(seed=1))
    ]
    runs = {}
    for micro in (3, 2, 1):
        model = make_model(seed=2)
        # IPO's gradients are a hundred times the others'.
        lr = 0.0005 if name == "ipo" else 0.02
        recorded = fit(model, pairs, OBJECTIVES[name], micro=micro, batch=3, epochs=2, lr=lr)
        runs[micro] = recorded, model.state_dict()
    whole, weights = runs[3]
    assert len(whole.losses) == 4
    for micro in (2, 1):
        recorded, others = runs[micro]
        for a, b in zip(recorded.metrics, whole.metrics, strict=True):
            assert a == pytest.approx(b, rel=1e-4, abs=2e-5)
        for a, b in zip(recorded.gradients[0].values(), whole.gradients[0].values(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * max(1.0, b.abs().max().item()))
        for key in weights:
            torch.testing.assert_close(others[key], weights[key], rtol=0, atol=5e-5)
    moved = max((weights[key] - value).abs().max() for key, value in make_model(seed=2).state_dict().items())
    assert moved > 1e-3
    if name == "kto":
        assert all(metrics["kl"] > 0.1 for metrics in whole.metrics)


def test_ktos_reference_point_is_of_the_whole_step(make_model, shared_model, bare_pairs, with_reference, fit):
    reference, model = shared_model(seed=1), make_model(seed=5)
    pairs = with_reference(bare_pairs(4), reference)
    by_key = {pair.key: pair for pair in pairs}
    with torch.no_grad():
        rho = [
            (plain_sum(model, pair.prompt_ids, y).sum() - plain_sum(reference, pair.prompt_ids, y).sum()).item()
            for pair in pairs
            for y in (by_key[pair.partner].chosen_ids, by_key[pair.partner].rejected_ids)
        ]
    assert sum(rho) > 0
    got = fit(model, pairs, KTO(), micro=1, batch=4)
    assert got.metrics[0]["kl"] == pytest.approx(sum(rho) / len(rho), abs=1e-4)


@pytest.mark.parametrize("micro", [1, 2])
def test_kto_with_a_single_prompt_has_reference_point_zero(
    make_model, shared_model, bare_pairs, with_reference, fit, micro
):
    """Three pairs of one prompt, and one pair alone, have no partner to give."""
    first = bare_pairs(1)[0]
    same = [replace(pair, id="0", prompt_ids=first.prompt_ids, language="en", chosen_k=i)
            for i, pair in enumerate(bare_pairs(3))]  # fmt: skip
    for bare in (same, [first]):
        pairs = with_reference(bare, shared_model(seed=1))
        assert [pair.partner for pair in pairs] == [""] * len(bare)
        got = fit(make_model(seed=2), pairs, KTO(), micro=micro, batch=3)
        expected = plain_loss(make_model(seed=2), shared_model(seed=1), pairs, KTO())
        assert got.metrics[0]["kl"] == 0
        assert got.losses[0] == pytest.approx(expected.item(), abs=2e-5)


def test_kto_with_a_batch_of_one_uses_a_partner_from_elsewhere(
    make_model, shared_model, bare_pairs, with_reference, fit
):
    pairs = with_reference(bare_pairs(2, languages=["en"]), shared_model(seed=1))
    assert [pair.partner for pair in pairs] == [pairs[1].key, pairs[0].key]
    got = fit(make_model(seed=2), pairs, KTO(), micro=1, batch=1)
    assert len(got.losses) == 2
    assert got.metrics[0]["kl"] != 0


def test_ktos_reference_point_is_new_in_every_step(make_model, shared_model, bare_pairs, with_reference, fit):
    """Trained at a rate of 0, three steps have the reference points of their own pairs and no other's."""
    pairs = [
        replace(pair, reference_partner_chosen_logp=pair.reference_partner_chosen_logp - 50)
        for pair in with_reference(bare_pairs(6), shared_model(seed=1))
    ]
    got = fit(make_model(seed=2), pairs, KTO(), micro=1, batch=2, lr=0.0, ordered=True)
    alone = [
        fit(make_model(seed=2), pairs, KTO(), micro=2, batch=2, lr=0.0, ordered=True, max_steps=3).metrics[step]["kl"]
        for step in range(3)
    ]
    assert [metrics["kl"] for metrics in got.metrics] == pytest.approx(alone, abs=1e-3)
    assert len({round(value, 2) for value in alone}) == 3


def test_partners_have_another_prompt_though_ids_differ(bare_pairs, with_reference, shared_model):
    """Lines of a preference file have ids of their own, and may repeat a prompt."""
    pairs = bare_pairs(3, languages=["en"])
    pairs[1] = replace(pairs[1], prompt_ids=list(pairs[0].prompt_ids))
    got = with_reference(pairs, shared_model())
    assert [pair.partner for pair in got] == [pairs[2].key, pairs[2].key, pairs[0].key]


FAMILIES = ["llama", "mistral", "gemma2", "cohere", "granite"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_steps_policy_is_the_stored_reference(make_model, bare_pairs, with_reference, family):
    model = make_model(family, attention_dropout=0.0)
    pairs = with_reference(bare_pairs(6), model, partners=False)
    module = PreferenceModule(model.train(), DPO(), torch.optim.SGD, Schedule())
    for size in (1, 6):
        for start in range(0, 6, size):
            batch = collate(pairs[start : start + size], StepTotals(6, 100), rejected=True, reference=True)
            policy = pair_logps(module.logps, batch)
            assert policy.chosen.dtype == torch.float64
            for side in ("chosen", "rejected"):
                a, b = getattr(policy, side), getattr(batch.reference, side)
                torch.testing.assert_close(a.detach(), b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "dropout"),
    [
        ("llama", {"attention_dropout": 0.5}),
        ("granite", {"attention_dropout": 0.5}),
        ("gpt2", {"attn_pdrop": 0.5, "resid_pdrop": 0.5, "embd_pdrop": 0.5}),
        ("opt", {"dropout": 0.5, "attention_dropout": 0.5, "layerdrop": 0.5}),
    ],
)
@pytest.mark.parametrize("attention", ["", "eager"])
def test_dropout_is_off_in_training(model_folder, shared_model, bare_pairs, with_reference, family, dropout, attention):
    model = Loader(attn_implementation=attention).load(str(model_folder(family, **dropout))).model
    for name, value in dropout.items():
        # The folder's own settings are left for whoever loads it next.
        assert getattr(model.config, name) == value
    pairs = with_reference(bare_pairs(4), model, partners=False)
    module = PreferenceModule(model.train(), DPO(), torch.optim.SGD, Schedule())
    batch = collate(pairs, StepTotals(4, 100), rejected=True, reference=True)
    for _ in range(2):
        policy = pair_logps(module.logps, batch)
        torch.testing.assert_close(policy.chosen.detach(), batch.reference.chosen, rtol=1e-6, atol=1e-5)
        torch.testing.assert_close(policy.rejected.detach(), batch.reference.rejected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loader_takes_every_family(model_folder, shared_model, family):
    """Gemma 2 among them, whose soft-capped attention has no SDPA."""
    model = Loader().load(str(model_folder(family))).model
    ids = torch.arange(6, 46)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, shared_model(family)(ids).logits, rtol=0, atol=1e-5)


def test_first_step_starts_at_zero_reward(make_model, bare_pairs, with_reference, fit):
    """Policy equals reference: DPO's loss is log 2, KTO's is one half, and no reward is above another."""
    for objective, expected in [(DPO(alpha=0), 0.6931472), (KTO(alpha=0), 0.5)]:
        model = make_model()
        pairs = with_reference(bare_pairs(4), make_model())
        first = fit(model, pairs, objective, batch=4).metrics[0]
        assert first["loss"] == pytest.approx(expected, abs=1e-5)
        assert first["rewards/margins"] == pytest.approx(0, abs=1e-5)


def test_what_is_logged(make_model, shared_model, bare_pairs, with_reference, fit):
    """The step's means under the field's names, and each language's under its own."""
    reference, model = shared_model(seed=1), make_model(seed=2)
    pairs = with_reference(bare_pairs(5), reference)
    with torch.no_grad():
        sums = [
            [(plain_sum(m, pair.prompt_ids, y).sum()).item() for y in (pair.chosen_ids, pair.rejected_ids)]
            for pair in pairs
            for m in (model, reference)
        ]
        nll = [-plain_sum(model, pair.prompt_ids, pair.chosen_ids).mean().item() for pair in pairs]
    chosen = [0.1 * (p[0] - r[0]) for p, r in zip(sums[::2], sums[1::2], strict=True)]
    rejected = [0.1 * (p[1] - r[1]) for p, r in zip(sums[::2], sums[1::2], strict=True)]
    got = fit(model, pairs, DPO(), micro=2, batch=5, lr=0.5, schedule=Schedule()).metrics[0]

    def mean(values, rows=range(5)):
        return pytest.approx(sum(values[i] for i in rows) / len(rows), abs=1e-4)

    for prefix, rows in [("", range(5)), ("en/", [0, 2, 4]), ("sw/", [1, 3])]:
        assert got[f"{prefix}rewards/chosen"] == mean(chosen, rows)
        assert got[f"{prefix}rewards/rejected"] == mean(rejected, rows)
        assert got[f"{prefix}rewards/margins"] == mean([a - b for a, b in zip(chosen, rejected, strict=True)], rows)
        assert got[f"{prefix}rewards/accuracies"] == mean([a > b for a, b in zip(chosen, rejected, strict=True)], rows)
        assert got[f"{prefix}logps/chosen"] == mean([p[0] for p in sums[::2]], rows)
        assert got[f"{prefix}logps/rejected"] == mean([p[1] for p in sums[::2]], rows)
        assert got[f"{prefix}nll"] == mean(nll, rows)
    assert got["loss"] == pytest.approx(got["preference_loss"] + got["nll"], abs=1e-5)
    assert got["lr"] == 0.5


def test_a_loss_that_is_not_finite_stops_and_names_its_pair(make_model, bare_pairs, with_reference, fit):
    pairs = with_reference(bare_pairs(5), make_model())
    pairs[3] = replace(pairs[3], reference_chosen_logp=float("nan"))
    with pytest.raises(RunError, match=r"not finite at step \d, for 3 \(sw\)\."):
        fit(make_model(), pairs, DPO(), micro=3, batch=5)


def test_frozen_parameters_are_left_alone(make_model, bare_pairs, with_reference, fit):
    model = make_model()
    before = {n: p.clone() for n, p in model.named_parameters()}
    pairs = with_reference(bare_pairs(4), model)
    model.get_input_embeddings().weight.requires_grad_(False)
    module = PreferenceModule(model, DPO(), lambda p: torch.optim.SGD(p, lr=0.1), Schedule())
    module._trainer = None
    assert len([p for p in model.parameters() if p.requires_grad]) == len(before) - 1
    batch = collate(pairs, StepTotals(4, 100), rejected=True, reference=True)
    module.objective(pair_logps(module.logps, batch), batch.reference, batch.totals).loss.backward()
    assert model.get_input_embeddings().weight.grad is None
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_rank_without_a_pair_adds_exactly_nothing(make_model, bare_pairs, name):
    """Its loss is zero, and every weight gets a gradient, of zeros: the ranks that wait for it have what they need."""
    objective, model = OBJECTIVES[name], make_model()
    module = PreferenceModule(model, objective, torch.optim.SGD, Schedule())
    totals = StepTotals(pairs=3, chosen_tokens=40)
    batch = collate([], totals, rejected=objective.needs_rejected, reference=True, stand_in=bare_pairs()[1])
    none = torch.zeros(0, dtype=torch.float64)
    partners = {"partner_chosen": none, "partner_rejected": none}
    policy, reference = replace(pair_logps(module.logps, batch), **partners), replace(batch.reference, **partners)
    output = objective(policy, reference, totals)
    output.loss.backward()
    assert output.loss.item() == 0
    assert output.preference.shape == output.nll.shape == output.chosen_rewards.shape == (0,)
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in model.parameters())
