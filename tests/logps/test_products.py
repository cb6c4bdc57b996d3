"""Products of wide models by oneDNN: no rounding beyond float32's, no small model touched, and torch left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from icr.logps import joined, lay_out, products, quick_products, score, token_logps
from icr.logps.products import is_wide
from icr.sampling.decode import decode

WIDE = {"vocab_size": 2**16, "hidden_size": 128}


@pytest.fixture(autouse=True)
def tried_anew():
    exact = products._exact
    exact.cache_clear()
    yield
    exact.cache_clear()


def precision_within(model) -> str:
    with quick_products(model):
        return torch.get_float32_matmul_precision()


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "tied"])
def test_a_wide_model_scores_as_in_float64(make_model, plain, ids_of, family):
    """Against transformers' own forward pass in float64, which oneDNN has no part in."""
    model = make_model(family, initializer_range=0.1, **WIDE)
    assert precision_within(model) == "medium" or not products._exact()
    sequences = [(ids_of(40, 0), ids_of(30, seed)) for seed in range(3)] + [(ids_of(3, 4), [65_000, 2])]
    got = score(model, sequences, tokens_per_batch=1000)
    exact = model.double()
    with torch.no_grad():
        for values, (prompt, response) in zip(got, sequences, strict=True):
            logps = exact(torch.tensor([[*prompt, *response]])).logits[0].log_softmax(-1)
            expected = logps[torch.arange(len(response)) + len(prompt) - 1, torch.tensor(response)]
            np.testing.assert_allclose(values, expected.numpy(), rtol=0, atol=1e-5)


def test_the_training_pass_and_the_scoring_pass_are_one_function(make_model, ids_of):
    """Bit for bit, though the first has the slope of its frozen head from the same tiles."""
    model = make_model(**WIDE)
    sequences = [(ids_of(20, 0), ids_of(150, 1)), (ids_of(20, 0), ids_of(150, 2))]
    model.get_output_embeddings().requires_grad_(False)
    trained = token_logps(model, lay_out(sequences))
    assert trained.requires_grad
    with torch.no_grad():
        assert torch.equal(token_logps(model, lay_out(sequences)), trained)


def test_attention_keeps_torchs_own_products(make_model, ids_of, monkeypatch):
    """Its shapes grow with each token, and oneDNN would keep code for each of them."""
    seen = []
    plain = joined.sdpa_attention_forward

    def watched(*args, **options):
        seen.append(torch.get_float32_matmul_precision())
        return plain(*args, **options)

    model = make_model(**WIDE)
    monkeypatch.setattr(products, "_exact", lambda: True)
    monkeypatch.setattr(joined, "sdpa_attention_forward", watched)
    score(model, [(ids_of(20, 0), ids_of(10, 1))], tokens_per_batch=100)
    decode(model, [ids_of(20, 0)], np.full((1, 2, 3), 0.5), stop_ids=frozenset(), temperature=1.0)
    assert set(seen) == {"highest"}
    assert len(seen) >= 4 * model.config.num_hidden_layers


def test_the_head_of_a_wide_model_is_given_whole_rows_when_sampling(make_model, ids_of):
    """Of a slice of the prompts' states, oneDNN would copy the head for every prompt."""
    model, whole = make_model(**WIDE), []
    model.get_output_embeddings().register_forward_pre_hook(lambda _, args: whole.append(args[0].is_contiguous()))
    decode(model, [ids_of(20, 0), ids_of(9, 1)], np.full((2, 2, 3), 0.5), stop_ids=frozenset(), temperature=1.0)
    assert whole == [True] * 3


def test_the_rule_of_width():
    from transformers import Gemma3TextConfig, LlamaConfig

    assert is_wide(Gemma3TextConfig(vocab_size=262_144, hidden_size=640))
    assert is_wide(LlamaConfig(vocab_size=32_000, hidden_size=512))
    assert not is_wide(LlamaConfig(vocab_size=1_000, hidden_size=128))  # The embedded world's, at its largest.
    assert not is_wide(LlamaConfig(vocab_size=32_000, hidden_size=128))


def test_a_small_model_is_left_to_torchs_choice(make_model):
    assert precision_within(make_model()) == "highest"


@pytest.mark.parametrize("before", ["highest", "high"])
def test_torch_is_left_as_it_was_whatever_happens(make_model, before):
    model = make_model(**WIDE)
    torch.set_float32_matmul_precision(before)
    try:
        with pytest.raises(KeyError), quick_products(model):
            raise KeyError
        assert torch.get_float32_matmul_precision() == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_processor_that_rounds_is_found_out(make_model, monkeypatch):
    """As with matrix units for bfloat16: the factors are rounded, and the products are then torch's own."""
    multiply = torch.Tensor.__matmul__

    def rounding(left, right):
        if torch.get_float32_matmul_precision() == "medium" and left.dtype == torch.float32:
            left, right = left.bfloat16().float(), right.bfloat16().float()
        return multiply(left, right)

    model = make_model(**WIDE)
    monkeypatch.setattr(torch.Tensor, "__matmul__", rounding)
    assert precision_within(model) == "highest"


def test_trying_takes_no_random_numbers_and_works_in_any_mode(make_model):
    model = make_model(**WIDE)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = precision_within(model)
    assert torch.equal(torch.get_rng_state(), before)
    products._exact.cache_clear()
    assert precision_within(model) == found
