"""Against what transformers itself reports: its loss, its generation scores, and plain training on its loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from icr.data.step_plan import StepPlan
from icr.logps import score
from icr.losses import NLL
from icr.models.loading import Loader
from icr.sampling.transformers_sampler import TransformersSampler
from icr.types import Prompt

FAMILIES = ["llama", "qwen2", "qwen3", "mistral", "gemma2", "cohere", "granite"]


def own_loss(model, prompt: list[int], response: list[int]) -> torch.Tensor:
    """Mean NLL of the response's tokens, as `model(labels=…)` computes it."""
    ids = torch.tensor([[*prompt, *response]])
    labels = ids.clone()
    labels[:, : len(prompt)] = -100
    return model(input_ids=ids, labels=labels).loss


@pytest.mark.parametrize("family", FAMILIES)
def test_models_own_loss(shared_model, bare_pairs, family):
    model = shared_model(family)
    sequences = [(pair.prompt_ids, pair.chosen_ids) for pair in bare_pairs(6)]
    got = score(model, sequences, tokens_per_batch=100)
    with torch.no_grad():
        expected = [own_loss(model, *sequence).item() for sequence in sequences]
    assert [-values.mean() for values in got] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_of_its_own_generation(model_folder, family):
    """A folder, loaded as a run loads it: sampled, and scored in one go, against `compute_transition_scores`."""
    policy = Loader().load(str(model_folder(family)))
    prompts = [Prompt(str(i), "en", text, text) for i, text in enumerate(["hi", "¿Qué es esto?", "กขค " * 9])]
    sampler = TransformersSampler(n=1, temperature=0, max_new_tokens=14)
    responses = sampler.sample(policy, prompts, (0, 0))
    got = score(policy.model, [(r.prompt_ids, r.response_ids) for r in responses], tokens_per_batch=200)
    for response, values in zip(responses, got, strict=True):
        ids = torch.tensor([response.prompt_ids])
        output = policy.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=14,
            eos_token_id=sorted(policy.renderer.stop_ids),
            output_logits=True,
            return_dict_in_generate=True,
        )
        assert output.sequences[0, ids.shape[1] :].tolist() == response.response_ids
        scores = policy.model.compute_transition_scores(output.sequences, output.logits, normalize_logits=True)
        np.testing.assert_allclose(values, scores[0].numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("reduction", "micro"), [("sequence", 1), ("sequence", 3), ("token", 2)])
def test_training_on_nll_is_plain_training_on_its_loss(make_model, bare_pairs, fit, reduction, micro):
    pairs = [replace(pair, rejected_ids=[]) for pair in bare_pairs(5)]
    model, plain = make_model(), make_model().train()
    recorded = fit(model, pairs, NLL(reduction), micro=micro, batch=3, epochs=2, lr=0.05)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05)
    steps = [part.step for part in StepPlan(5, 3, 3, epochs=2, seed=(0,)).micro_batches()]
    losses = []
    for step in steps:
        lengths = [len(pairs[i].chosen_ids) for i in step]
        weights = {"sequence": [1 / len(step)] * len(step), "token": [n / sum(lengths) for n in lengths]}[reduction]
        optimizer.zero_grad()
        loss = sum(
            weight * own_loss(plain, pairs[i].prompt_ids, pairs[i].chosen_ids)
            for i, weight in zip(step, weights, strict=True)
        )
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert recorded.losses == pytest.approx(losses, abs=2e-5)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)
