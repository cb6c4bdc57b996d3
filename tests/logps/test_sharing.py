"""Responses to one prompt share one pass over it: really, in every family, with the same numbers and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from icr.logps import attention, joined, lay_out, padded, score, shares_prompts, token_logps, ways

FAMILIES = ["llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "cohere", "granite", "hyperclovax", "tied"]
END = 2


@pytest.fixture
def sequences(ids_of):
    prompt = ids_of(90, 0)
    return [(prompt, [*ids_of(length, 1 + length), END]) for length in (0, 5, 20, 60)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_shares(shared_model, family):
    assert shares_prompts(shared_model(family))


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gemma3_text"])
def test_shared_rows_equal_rows_apart_with_gradients(make_model, sequences, family):
    """Also beyond a sliding window, which is counted in places of the sequence and not of the row."""
    model = make_model(family)
    layout = lay_out(sequences, [[0, 1, 2, 3]])
    assert layout.input_ids.shape == (1, 90 + 5 + 20 + 60)
    weights = torch.linspace(-1, 1, len(layout.targets))
    results = []
    for rows in (layout, lay_out(sequences)):
        model.zero_grad()
        values = attention.run(model, rows)
        torch.dot(values, weights).backward()
        results.append((values.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (shared, shared_gradients), (apart, gradients) = results
    np.testing.assert_allclose(shared, apart, rtol=0, atol=1e-5)
    for a, b in zip(shared_gradients, gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * float(b.abs().max()))


JOINING = [*(family for family in FAMILIES if family != "gemma2"), "gpt2"]


@pytest.mark.parametrize("family", JOINING)
def test_joined_rows_equal_padded_ones_with_gradients(make_model, ids_of, family):
    """Many prompts in one row, prompts of one token and responses of one among them."""
    model = make_model(family)
    assert attention.joins_rows(model)
    sequences = [(ids_of(p, p), [*ids_of(n, 100 * p + n), END]) for p in (1, 40, 300) for n in (0, 5, 30)]
    layout = lay_out(sequences, [[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    weights = torch.linspace(-1, 1, len(layout.targets))
    results = []
    for hidden in (joined.joined_hidden, padded.padded_hidden):
        model.zero_grad()
        values = attention.selected_logps(model, hidden(model, layout), layout.targets)
        torch.dot(values, weights).backward()
        results.append((values.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (in_one, in_one_gradients), (in_rows, gradients) = results
    np.testing.assert_allclose(in_one, in_rows, rtol=0, atol=1e-5)
    for a, b in zip(in_one_gradients, gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * float(b.abs().max()))


def test_no_padding_is_run(shared_model, ids_of):
    model, shapes = shared_model(), []
    sequences = [(ids_of(length, length), [5, END]) for length in (10, 50)]
    score(model, sequences, tokens_per_batch=1000)
    hook = model.get_decoder().register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    score(model, sequences, tokens_per_batch=1000)
    hook.remove()
    assert shapes == [(1, 11 + 51)]


@pytest.mark.parametrize("family", ["gemma2", "llama"])
def test_rows_are_padded_where_attention_is_not_sdpa(make_model, family):
    model = make_model(family)
    model.set_attn_implementation("eager")
    assert not attention.joins_rows(model)
    assert shares_prompts(model)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask")
@pytest.mark.parametrize("family", ["mistral", "gemma2"])
def test_flex_attention_scores_the_same(make_model, sequences, family):
    """Its block mask, with sliding windows and soft-capping; not compiled, which takes a GPU to be of use."""
    model = make_model(family)
    expected = score(model, sequences, tokens_per_batch=1000)
    model.set_attn_implementation("flex_attention")
    with torch.compiler.set_stance("force_eager"):
        assert shares_prompts(model)
        assert not attention.joins_rows(model)
        for a, b in zip(score(model, sequences, tokens_per_batch=1000), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_a_family_that_keeps_the_spans_from_its_attention_is_found_out(make_model, monkeypatch):
    model = make_model()
    monkeypatch.setitem(
        joined.AttentionInterface._global_mapping,
        "sdpa",
        lambda *args, icr_joined=None, **options: joined.sdpa_attention_forward(*args, **options),
    )
    assert not attention.joins_rows(model)


def test_a_mask_is_made_once_for_all_layers_and_in_the_dtype_of_what_it_is_added_to(
    shared_model, sequences, monkeypatch
):
    model, made, real = shared_model("gemma3_text"), [], joined._lower_right
    attention.joins_rows(model)
    monkeypatch.setattr(joined, "_lower_right", lambda *key: made.append(key) or real(*key))
    score(model, sequences, tokens_per_batch=10_000)
    assert len(made) == len(set(made)) > 3
    assert {dtype for *_, dtype in made} == {torch.float32}
    hidden = real(2, 5, 3, torch.float32)[0, 0] == -torch.inf
    assert hidden.tolist() == [[True, False, False, False, True], [True, True, False, False, False]]
    assert real(4, 4, 4, torch.float32) is None


def test_a_prompt_is_run_once(shared_model, sequences):
    model, shapes = shared_model(), []
    shares_prompts(model)
    hook = model.get_decoder().register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    score(model, sequences, tokens_per_batch=10_000)
    hook.remove()
    assert shapes == [(1, 90 + 5 + 20 + 60)]


def test_a_model_that_takes_no_mask_runs_rows_apart_and_says_so(make_model, sequences, caplog, monkeypatch):
    expected = score(make_model(), sequences, tokens_per_batch=1000)
    monkeypatch.setattr(padded, "MASKABLE", ("eager",))
    monkeypatch.setattr(ways, "_of_architecture", {})
    model = make_model()
    with caplog.at_level("INFO"):
        got = score(model, sequences, tokens_per_batch=1000)
        again = token_logps(model, lay_out(sequences, [[0, 1, 2, 3]]))
    assert [record.message for record in caplog.records if "cannot share prompts" in record.message] == [
        "LlamaForCausalLM with sdpa cannot share prompts between responses: each response is run with its own prompt"
    ]
    for a, b, c in zip(got, expected, again.detach().split([len(r) for _, r in sequences]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
        np.testing.assert_allclose(c, b, rtol=0, atol=1e-5)


def test_a_wrong_mask_is_found_out(make_model, monkeypatch):
    """Were a family to read the mask differently, its log-probs would be wrong in silence."""
    monkeypatch.setattr(padded, "_mask", lambda model, layout, window: torch.ones(1, 1, 1, 1, dtype=torch.bool))
    assert not shares_prompts(make_model())
