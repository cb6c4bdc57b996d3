"""`decode`: greedy as `generate`, the model's own probabilities, and where a response ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from icr.sampling.decode import decode

FAMILIES = ["llama", "qwen3", "mistral", "gemma2", "cohere", "granite"]
NEVER = frozenset({-5})


def uniforms(prompts: int, n: int, tokens: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((prompts, n, tokens))


@pytest.fixture
def prompts(ids_of):
    """Of very different lengths, one of them longer than a sliding window."""
    return [ids_of(length, length) for length in (1, 9, 40, 23)]


@pytest.fixture(scope="session")
def ids_of():
    return lambda length, seed: torch.randint(6, 262, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_generate(shared_model, prompts, family):
    model = shared_model(family, seed=3)
    limit = 24
    got = decode(model, prompts, uniforms(4, 2, limit), stop_ids=NEVER, temperature=0)
    free = [greedy(model, prompt, limit, None) for prompt in prompts]
    assert [responses[0] for responses in got] == free
    assert [responses[1] for responses in got] == free
    # Again with end tokens: two that some of them come to, at different times, so that rows leave the batch.
    stops = frozenset({free[0][4], free[2][11]})
    got = decode(model, prompts, uniforms(4, 2, limit), stop_ids=stops, temperature=0)
    expected = [greedy(model, prompt, limit, sorted(stops)) for prompt in prompts]
    assert [responses[0] for responses in got] == expected
    assert len({len(response) for response in expected}) > 1


def greedy(model, prompt, limit, stops) -> list[int]:
    output = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
        do_sample=False,
        max_new_tokens=limit,
        eos_token_id=stops if stops else -1,
        pad_token_id=0,
    )
    return output[0, len(prompt) :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_each_token_is_drawn_from_the_models_own_distribution(shared_model, prompts, family):
    """Replayed: every token is where the cumulative distribution of a plain forward passes its own uniform number."""
    model = shared_model(family)
    numbers = uniforms(4, 3, 20)
    got = decode(model, prompts, numbers, stop_ids=frozenset({7, 100, 200}), temperature=0.9)
    for prompt, responses, rows in zip(prompts, got, numbers, strict=True):
        for response, row in zip(responses, rows, strict=True):
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1].double()
            cumulative = (logits / 0.9).softmax(-1).cumsum(-1)
            for t, token in enumerate(response):
                below = cumulative[t, token - 1] if token else 0.0
                assert below - 1e-5 <= row[t] < cumulative[t, token] + 1e-5


def test_frequencies_are_the_models_probabilities(shared_model, prompts):
    """4000 first and second tokens of a sharpened model, against its probabilities, within five standard errors."""
    model, prompt, draws = shared_model(), prompts[1], 4000
    got = decode(model, [prompt], uniforms(1, draws, 2), stop_ids=NEVER, temperature=0.5)[0]
    with torch.no_grad():
        first = (model(torch.tensor([prompt])).logits[0, -1].double() / 0.5).softmax(-1).numpy()
        top = int(first.argmax())
        after = (model(torch.tensor([[*prompt, top]])).logits[0, -1].double() / 0.5).softmax(-1).numpy()
    assert first.max() > 0.1
    for tokens, exact in [([r[0] for r in got], first), ([r[1] for r in got if r[0] == top], after)]:
        share = np.bincount(tokens, minlength=len(exact)) / len(tokens)
        error = np.sqrt(exact * (1 - exact) / len(tokens))
        assert (np.abs(share - exact) <= 5 * error + 2 / len(tokens)).all()


@pytest.mark.parametrize("which", [0, 1])
def test_either_stop_id_ends_a_response_which_includes_it(shared_model, prompts, which):
    model = shared_model()
    free = decode(model, prompts, uniforms(4, 3, 30), stop_ids=NEVER, temperature=1.0)
    assert all(len(response) == 30 for responses in free for response in responses)
    stops = [free[1][2][10], free[3][0][4]]
    for chosen in (frozenset(stops), frozenset({stops[which]})):
        got = decode(model, prompts, uniforms(4, 3, 30), stop_ids=chosen, temperature=1.0)
        for a, b in zip([r for rs in got for r in rs], [r for rs in free for r in rs], strict=True):
            end = next((i for i, token in enumerate(b) if token in chosen), 29)
            assert a == b[: end + 1]


def test_the_first_token_may_be_the_end(shared_model, prompts):
    model = shared_model()
    first = decode(model, prompts, uniforms(4, 1, 9)[:, :, :1], stop_ids=NEVER, temperature=1.0)
    got = decode(model, prompts, uniforms(4, 1, 9), stop_ids=frozenset(r[0][0] for r in first), temperature=1.0)
    assert got == first
