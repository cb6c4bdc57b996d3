"""The sampler: a response is a function of model, prompt, settings and its own key, and not of its batch."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from icr.sampling import transformers_sampler
from icr.sampling.transformers_sampler import TransformersSampler
from icr.types import Prompt

TEXTS = ["hi", "¿Qué es esto?", "Почему небо голубое и трава зелёная?", "kwa nini?", "Sag mir, was das ist, bitte!"]
PROMPTS = [
    Prompt(str(i), language, text, text)
    for i, (language, text) in enumerate(zip(["en", "es", "ru", "sw", "de"], TEXTS, strict=True))
]
SAMPLER = TransformersSampler(n=4, temperature=1.0, max_new_tokens=12)
SEED = (0, 0)


@pytest.fixture(scope="session")
def policy(loaded, make_model):
    """Ends some of its responses: `<end>` and `<eos>` get a larger logit."""
    model = make_model(tie_word_embeddings=False)
    embeddings = model.get_output_embeddings()
    head = torch.nn.Linear(32, 262, bias=True)
    with torch.no_grad():
        head.weight.copy_(embeddings.weight)
        head.bias.zero_()
        head.bias[[2, 3]] = 3.0
    model.set_output_embeddings(head)
    return loaded(model)


@pytest.fixture(scope="session")
def sampled(policy):
    return SAMPLER.sample(policy, PROMPTS, SEED)


def test_order_and_fields(policy, sampled):
    assert [(r.id, r.language, r.k) for r in sampled] == [(p.id, p.language, k) for p in PROMPTS for k in range(4)]
    for response in sampled:
        prompt = PROMPTS[int(response.id)]
        assert response.prompt_ids == policy.renderer.prompt_ids(prompt.text)
        assert response.text == policy.renderer.text(response.response_ids)


def test_finish_reasons(policy, sampled):
    """`stop` where the last token, and no other, is a stop id; `length` where there is none, at the limit exactly."""
    assert policy.renderer.stop_ids == {2, 3}
    for response in sampled:
        body, last = response.response_ids[:-1], response.response_ids[-1]
        assert not policy.renderer.stop_ids & set(body)
        if response.finish_reason == "stop":
            assert last in policy.renderer.stop_ids
        else:
            assert response.finish_reason == "length"
            assert last not in policy.renderer.stop_ids
            assert len(response.response_ids) == 12
    ends = {r.response_ids[-1] for r in sampled if r.finish_reason == "stop"}
    assert ends == {2, 3}
    assert {r.finish_reason for r in sampled} == {"stop", "length"}


@pytest.mark.parametrize("budget", [1, 200, 700, 100_000])
def test_any_budget_and_prompt_order(policy, sampled, budget):
    sizes = []
    got = replace(SAMPLER, tokens_per_batch=budget).sample(policy, PROMPTS[::-1], SEED, sizes.append)
    assert sum(sizes) == len(PROMPTS)
    assert len(sizes) == {1: 5, 200: 4, 700: 2, 100_000: 1}[budget]
    assert sorted(got, key=lambda r: (r.id, r.k)) == sampled


def test_any_subset(policy, sampled):
    for subset in ([2], [4, 1], [0, 3, 2]):
        got = SAMPLER.sample(policy, [PROMPTS[i] for i in subset], SEED)
        assert got == [r for i in subset for r in sampled if r.id == str(i)]


def test_fewer_responses_are_the_first_of_more(policy, sampled):
    ten = replace(SAMPLER, n=10).sample(policy, PROMPTS, SEED)
    assert [r for r in ten if r.k < 4] == sampled
    assert len({tuple(r.response_ids) for r in ten if r.id == "0"}) > 5


def test_a_higher_limit_only_continues(policy, sampled):
    longer = replace(SAMPLER, max_new_tokens=20).sample(policy, PROMPTS, SEED)
    for a, b in zip(sampled, longer, strict=True):
        assert b.response_ids[: len(a.response_ids)] == a.response_ids
        assert a.finish_reason == "length" or a == b


@pytest.mark.parametrize("seed", [(0, 1), (1, 0), ("translation",)])
def test_rounds_and_seeds_differ(policy, sampled, seed):
    other = SAMPLER.sample(policy, PROMPTS, seed)
    assert sum(a.response_ids == b.response_ids for a, b in zip(sampled, other, strict=True)) <= 2
    assert other == SAMPLER.sample(policy, PROMPTS, seed)


def test_language_and_id_take_part_in_the_seed(policy):
    same = [Prompt("0", "en", "hi", "hi"), Prompt("0", "de", "hi", "hi"), Prompt("1", "en", "hi", "hi")]
    ids = [r.response_ids for r in SAMPLER.sample(policy, same, SEED)]
    assert ids[:4] != ids[4:8] != ids[8:] != ids[:4]


def test_keys_do_not_run_together():
    """`(1, 11)` and `(11, 1)` are different keys, and numbers are uniform."""
    a, b = (transformers_sampler._uniforms(key, 1000) for key in [(1, 11), (11, 1)])
    assert np.abs(a - b).mean() > 0.2
    assert abs(a.mean() - 0.5) < 0.05
    assert 0 <= a.min() < a.max() < 1


def test_greedy_samples_are_equal(policy):
    responses = replace(SAMPLER, n=2, temperature=0).sample(policy, PROMPTS, SEED)
    assert all(a.response_ids == b.response_ids for a, b in zip(responses[::2], responses[1::2], strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_left_as_it_was_and_does_not_matter(policy, sampled, training):
    policy.model.train(training)
    assert SAMPLER.sample(policy, PROMPTS, SEED) == sampled
    assert policy.model.training == training
    policy.model.eval()


def test_responses_at_a_time():
    sampler = TransformersSampler(n=3, max_new_tokens=10, tokens_per_batch=200)
    assert sampler.at_a_time(10, 2) == 5 * 2  # 200 // (2 · 20) prompts
    assert sampler.at_a_time(1000, 2) == 2  # One prompt at least
    assert replace(sampler, tokens_per_batch=10**6).at_a_time(10, 2) == sampler.prompts_per_part * 2


def test_out_of_memory_halves_the_budget(policy, sampled, monkeypatch, caplog):
    sizes, real = [], transformers_sampler.decode

    def decode(model, prompts, *args, **kwargs):
        sizes.append(len(prompts))
        if len(prompts) > 1:
            raise torch.OutOfMemoryError("simulated")
        return real(model, prompts, *args, **kwargs)

    monkeypatch.setattr(transformers_sampler, "decode", decode)
    with caplog.at_level(logging.WARNING):
        got = replace(SAMPLER, tokens_per_batch=1200).sample(policy, PROMPTS, SEED)
    assert got == sampled
    assert sizes[0] > 1
    assert sizes.count(1) == len(PROMPTS)
    budgets = [record.args[0] for record in caplog.records]
    assert budgets == [1200 // 2 ** (i + 1) for i in range(len(budgets))]
    assert len(budgets) == len(sizes) - len(PROMPTS) > 1


@pytest.mark.parametrize("most", [1, 2, 3])
def test_out_of_memory_with_one_prompt_splits_its_responses(policy, sampled, monkeypatch, caplog, most):
    """The tokens are the same; the last prompts are sampled in as many passes as the first one needed."""
    rows, real = [], transformers_sampler.decode

    def decode(model, prompts, uniforms, **kwargs):
        rows.append(uniforms.shape[0] * uniforms.shape[1])
        if rows[-1] > most:
            raise torch.OutOfMemoryError("simulated")
        return real(model, prompts, uniforms, **kwargs)

    monkeypatch.setattr(transformers_sampler, "decode", decode)
    done = []
    with caplog.at_level(logging.WARNING):
        assert SAMPLER.sample(policy, PROMPTS, SEED, done.append) == sampled
    assert sum(done) == len(PROMPTS)
    assert max(size for size in rows if size <= most) == {1: 1, 2: 2, 3: 2}[most]
    assert "out of memory: at most 2 of sampling.n=4 at a time now" in caplog.text


def test_out_of_memory_with_one_prompt_is_raised(policy, monkeypatch):
    def decode(*args, **kwargs):
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(transformers_sampler, "decode", decode)
    policy.model.train()
    with pytest.raises(torch.OutOfMemoryError):
        SAMPLER.sample(policy, PROMPTS, SEED)
    assert policy.model.training
    policy.model.eval()


@pytest.mark.parametrize(
    ("field", "value"),
    [("n", 0), ("n", 1.5), ("max_new_tokens", 0), ("tokens_per_batch", 0), ("temperature", -0.1), ("top_p", 0),
     ("top_p", 1.1), ("top_k", 0), ("temperature", float("nan"))],
)  # fmt: skip
def test_bad_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=f"^{field} must be"):
        TransformersSampler(**{field: value})
