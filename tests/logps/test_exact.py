"""Each token's log-prob is that of a plain one-sequence forward of transformers, whatever else is asked for with it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icr.logps import attention, head, lay_out, score, sequence_sums, tiles, token_logps

FAMILIES = ["llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "cohere", "granite", "hyperclovax", "tied"]
END, EOS = 2, 3


def case(ids_of, prompt_lengths, k, seed=0):
    """`K` responses to each prompt: one is the end token alone, others grow, and two are equal."""
    sequences = []
    for place, length in enumerate(prompt_lengths):
        prompt = ids_of(length, seed + place)
        responses = [[*ids_of(7 * j % 23, seed + 100 * place + j), END] for j in range(k - 1)]
        sequences += [(prompt, response) for response in [*responses, responses[-1] if responses else [END]]]
    return sequences


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_equals_its_plain_forward(shared_model, plain, ids_of, family):
    model = shared_model(family)
    sequences = case(ids_of, [1, 40, 300], k=4)
    got = score(model, sequences, tokens_per_batch=1500)
    with torch.no_grad():
        expected = [plain(model, *sequence).numpy() for sequence in sequences]
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    # Far from uniform, or a wrong mask, position or scale would hardly show.
    assert np.std(np.concatenate(expected)) > 0.2


@pytest.mark.parametrize("family", ["cohere", "granite", "hyperclovax", "gemma2"])
def test_what_a_family_does_after_the_head_matters(shared_model, plain, ids_of, family, monkeypatch):
    model, sequence = shared_model(family), (ids_of(20, 0), [*ids_of(8, 1), END])
    monkeypatch.setattr(tiles, "scaled", lambda logits, config: logits)
    got = score(model, [sequence], tokens_per_batch=100)[0]
    with torch.no_grad():
        assert np.abs(got - plain(model, *sequence).numpy()).max() > 1e-2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    family=st.sampled_from(["llama", "mistral", "tied"]),
    prompts=st.lists(st.integers(1, 120), min_size=1, max_size=4),
    k=st.integers(1, 16),
    budget=st.integers(1, 4000),
    seed=st.integers(0, 10_000),
)
def test_any_shape_order_and_budget(shared_model, plain, ids_of, family, prompts, k, budget, seed):
    """Two float32 passes, each within 1e-5 of what is exact: of very many cases one is not within 1e-5 of the other."""
    model = shared_model(family)
    sequences = case(ids_of, prompts, k, seed)
    random.Random(seed).shuffle(sequences)
    finished = []
    got = score(model, sequences, tokens_per_batch=budget, on_batch=finished.append)
    assert sum(finished) == len(sequences)
    assert [len(values) for values in got] == [len(response) for _, response in sequences]
    with torch.no_grad():
        for values, sequence in zip(got, sequences, strict=True):
            np.testing.assert_allclose(values, plain(model, *sequence).numpy(), rtol=0, atol=2e-5)


def test_equal_responses_are_bitwise_equal_in_any_company(shared_model, ids_of):
    model = shared_model()
    prompt, response = ids_of(33, 0), [*ids_of(12, 1), END]
    sequences = [(prompt, response), *case(ids_of, [5, 90], 6), (list(prompt), list(response))]
    got = score(model, sequences, tokens_per_batch=400)
    assert got[0].tobytes() == got[-1].tobytes()


def test_the_beginning_of_a_response_is_scored_with_it(shared_model, plain, ids_of):
    """As in the diagnosis, which has every labelled answer whole and cut; under another prompt it is another one."""
    model = shared_model()
    prompt, other, response = ids_of(33, 0), ids_of(21, 3), ids_of(12, 1)
    longer = [*response, END], [*response, 5, 7]
    sequences = [(prompt, response[:4]), (prompt, response), *((prompt, ids) for ids in longer), (other, response)]
    scored = []
    got = score(model, sequences, tokens_per_batch=1, on_batch=scored.append)
    assert sorted(scored) == [1, 4]
    assert sum(got[1].tobytes() == whole[:12].tobytes() for whole in got[2:4]) >= 1
    assert got[0].tobytes() == got[1][:4].tobytes()
    with torch.no_grad():
        for values, sequence in zip(got, sequences, strict=True):
            np.testing.assert_allclose(values, plain(model, *sequence).numpy(), rtol=0, atol=1e-5)


def test_padding_is_never_seen(shared_model, plain, ids_of):
    """Token 0 fills the rows; a response full of it, and a pad token that is the end token, count like all others."""
    model = shared_model(pad_token_id=END)
    sequences = [(ids_of(9, 0), [0, 0, 0, END]), (ids_of(80, 1), [END]), ([END, END], [END, 0, END])]
    got = score(model, sequences, tokens_per_batch=1000)
    with torch.no_grad():
        for values, sequence in zip(got, sequences, strict=True):
            np.testing.assert_allclose(values, plain(model, *sequence).numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pad", ["<pad>", "<eos>", "<end>"])
def test_tokenizers_padding_does_not_matter(shared_model, loaded, plain, side, pad):
    policy = loaded(shared_model(), pad_token=pad, padding_side=side)
    renderer = policy.renderer
    sequences = [
        (renderer.prompt_ids(text), renderer.response_ids(answer))
        for text, answer in [("¿Qué?", ""), ("kwa nini anga ni ya bluu?", "กขค"), ("hi", "hello there")]
    ]
    assert [response[-1] for _, response in sequences] == [END] * 3
    assert sequences[0][1] == [END]
    got = score(policy.model, sequences, tokens_per_batch=1000)
    with torch.no_grad():
        for values, sequence in zip(got, sequences, strict=True):
            np.testing.assert_allclose(values, plain(policy.model, *sequence).numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2", "tied"])
def test_gradients_equal_those_of_the_plain_forward(make_model, plain, ids_of, family):
    model = make_model(family)
    sequences = case(ids_of, [3, 25], k=3)
    weights = [torch.randn(len(response)) for _, response in sequences]
    torch.dot(token_logps(model, lay_out(sequences)), torch.cat(weights)).backward()
    got = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    sum(torch.dot(plain(model, *s), w) for s, w in zip(sequences, weights, strict=True)).backward()
    for name, parameter in model.named_parameters():
        scale = parameter.grad.abs().max()
        torch.testing.assert_close(got[name], parameter.grad, rtol=0, atol=max(1e-5 * scale.item(), 1e-6))


@pytest.mark.parametrize("elements", [1, 262 * 5])
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_a_called_head_in_chunks_equals_one_chunk(make_model, ids_of, family, elements, monkeypatch):
    """A head with a hook on it (as adapters and sharding have them) is called, and in chunks too."""
    model = make_model(family)
    attention.joins_rows(model)  # Found out once a model, on a small example.
    layout = lay_out(case(ids_of, [3, 25], k=3))
    calls = []
    model.get_output_embeddings().register_forward_hook(lambda module, args, out: calls.append(len(out)))

    def values_and_gradients():
        model.zero_grad()
        values = token_logps(model, layout)
        (values * torch.linspace(-1, 2, len(values))).sum().backward()
        return values.detach(), [p.grad.clone() for p in model.parameters()]

    whole, whole_gradients = values_and_gradients()
    assert calls == [len(layout.targets)]
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", elements)
    calls.clear()
    chunked, chunked_gradients = values_and_gradients()
    rows = max(1, elements // 262)
    assert max(calls) == rows
    # Once forward, and once more in the backward pass.
    assert sum(calls) == 2 * len(layout.targets)
    torch.testing.assert_close(chunked, whole, rtol=0, atol=2e-6)
    for a, b in zip(chunked_gradients, whole_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * max(1.0, b.abs().max().item()))


@pytest.mark.parametrize("kept", [0, 2**24])
@pytest.mark.parametrize(("elements", "rows"), [(1, 1024), (100, 7), (262 * 5, 1024), (2**22, 3), (2**22, 1024)])
@pytest.mark.parametrize("family", ["llama", "gemma2", "granite", "gpt2 with a bias"])
def test_tiles_of_the_head_equal_a_log_softmax(make_model, ids_of, family, elements, rows, kept, monkeypatch):
    """Values and gradients, also a second time, and where head or hidden states ask for none."""
    model = make_model(family.split()[0])
    if "bias" in family:
        model.set_output_embeddings(torch.nn.Linear(32, 262))
    output = model.get_output_embeddings()
    for name, value in {"CHUNK_ELEMENTS": elements, "CHUNK_ROWS": rows, "KEPT_ELEMENTS": kept}.items():
        monkeypatch.setattr(tiles, name, value)
    hidden, targets = torch.randn(11, 32), torch.tensor([0, 261, *ids_of(9, 0)])
    weights = torch.linspace(-1, 2, 11)

    def gradients(values, *inputs):
        return torch.autograd.grad((values * weights).sum(), inputs, retain_graph=True)

    for wants_hidden, wants_head in [(True, True), (True, False), (False, True)]:
        hidden.requires_grad_(wants_hidden)
        output.requires_grad_(wants_head)
        inputs = [tensor for tensor in (hidden, *output.parameters()) if tensor.requires_grad]
        got = head.selected_logps(model, hidden, targets)
        logits = tiles.scaled(output(hidden), model.config)
        expected = logits.log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
        torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)
        for _ in range(2):
            for a, b in zip(gradients(got, *inputs), gradients(expected, *inputs), strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * max(1.0, b.abs().max().item()))
    with torch.no_grad():
        torch.testing.assert_close(head.selected_logps(model, hidden, targets), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("spread", [1, 30])
def test_a_frozen_heads_slope_is_had_forwards_and_as_exact_as_otherwise(make_model, ids_of, monkeypatch, spread):
    """In bfloat16, against float64, also where targets are nearly certain and `1 − p` is small."""
    model = make_model(hidden_size=64).to(torch.bfloat16)
    output = model.get_output_embeddings()
    hidden = (spread * torch.randn(200, 64)).to(torch.bfloat16).requires_grad_()
    weight = output.weight.detach().double()
    logits = hidden.detach().double() @ weight.T
    targets = torch.cat([logits[:100].argmax(1), torch.tensor(ids_of(100, 0))])
    weights = torch.linspace(-1, 2, 200)
    truth = (logits.softmax(1) * -1).scatter_add(1, targets[:, None], torch.ones(200, 1).double())
    truth = weights.double()[:, None] * (truth @ weight)
    monkeypatch.setattr(tiles, "CHUNK_ELEMENTS", 200 * 100)
    monkeypatch.setattr(tiles, "KEPT_ELEMENTS", 0)
    errors, products, plain_logits = {}, [], tiles._logits
    monkeypatch.setattr(tiles, "_logits", lambda *args: products.append(1) or plain_logits(*args))
    for trained in (True, False):
        output.requires_grad_(trained)
        products.clear()
        values = head.selected_logps(model, hidden, targets)
        forwards = len(products)
        (slope,) = torch.autograd.grad((values * weights).sum(), hidden)
        assert slope.dtype == torch.bfloat16
        assert len(products) == (2 if trained else 1) * forwards
        errors[trained] = float((slope - truth).norm() / truth.norm())
    assert errors[False] <= max(1.05 * errors[True], 0.004)


def test_tiles_under_autocast(make_model, ids_of, monkeypatch):
    """bfloat16 logits of float32 weights, as the head itself gives them, reduced in float32; gradients in float32."""
    model, targets = make_model(), torch.tensor(ids_of(50, 0))
    hidden = torch.randn(50, 32, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        got = head.selected_logps(model, hidden, targets)
        logits = model.get_output_embeddings()(hidden)
    expected = logits.float().log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    a, b = (torch.autograd.grad(values.sum(), hidden)[0] for values in (got, expected))
    assert a.dtype == torch.float32
    torch.testing.assert_close(a, b, rtol=0, atol=0.02 * b.abs().max().item())


def test_bfloat16_error_is_no_larger_than_the_plain_forwards(make_model, plain, ids_of):
    exact = make_model(hidden_size=64)
    rough = make_model(hidden_size=64).to(torch.bfloat16)
    exact.load_state_dict({name: value.float() for name, value in rough.state_dict().items()})
    sequences = [(ids_of(20, i), [*ids_of(30, 100 + i), END]) for i in range(40)]
    with torch.no_grad():
        truth = torch.cat([plain(exact, *sequence) for sequence in sequences])
        theirs = torch.cat([plain(rough, *sequence) for sequence in sequences])
    ours = torch.from_numpy(np.concatenate(score(rough, sequences, tokens_per_batch=500)))
    error, bound = (ours - truth).abs().mean(), (theirs - truth).abs().mean()
    assert bound > 1e-4
    # The bodies of both are bfloat16 in different batches: only their average can be compared.
    assert error <= 1.05 * bound
    # In bfloat16 the log-softmax itself would be off by up to a hundredth of its size.
    assert ours.dtype == torch.float32


def test_log_probs_are_reduced_in_float32(make_model, ids_of):
    """With the same bfloat16 logits, ours is their exact log-softmax; in bfloat16 it would be 0.01 off."""
    model = make_model().to(torch.bfloat16)
    hidden = torch.randn(50, 32, dtype=torch.bfloat16)
    targets = torch.tensor(ids_of(50, 0))
    logits = model.get_output_embeddings()(hidden).double()
    exact = logits.log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
    got = head.selected_logps(model, hidden, targets)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), exact, rtol=0, atol=1e-5)


def test_sums_are_float64():
    """A thousand tokens: exact where float32's running sum is off by more than 1e-4."""
    values = -torch.rand(1000, generator=torch.Generator().manual_seed(0)) * 9
    lengths = torch.tensor([1, 999])
    got = sequence_sums(values, lengths)
    exact = [sum(values[:1].double().tolist()), sum(values[1:].double().tolist())]
    assert got.dtype == torch.float64
    assert got.tolist() == pytest.approx(exact, rel=0, abs=1e-9)
    running = torch.zeros(())
    for value in values[1:]:
        running += value
    assert abs(running.item() - exact[1]) > 1e-4


def test_sums_refuse_lengths_that_do_not_fit():
    with pytest.raises(ValueError, match="lengths sum to 3, but there are 4 values"):
        sequence_sums(torch.zeros(4), torch.tensor([1, 2]))


@pytest.mark.parametrize(
    ("sequences", "message"),
    [([], "no sequence"), ([([1], [2]), ([], [2])], "1 has an empty prompt"), ([([1], [])], "0 has an empty response")],
)
def test_layout_refuses_what_has_no_log_prob(sequences, message):
    with pytest.raises(ValueError, match=message):
        lay_out(sequences)


def test_the_head_refuses_shapes_that_do_not_fit(shared_model):
    with pytest.raises(ValueError, match=r"hidden \(3, 32\) and targets \(2,\)"):
        head.selected_logps(shared_model(), torch.zeros(3, 32), torch.zeros(2, dtype=torch.int64))


def test_only_response_positions_reach_the_head(shared_model, ids_of, monkeypatch):
    seen = []
    real = attention.selected_logps
    sequences = case(ids_of, [100, 7], k=2)
    score(shared_model(), sequences, tokens_per_batch=10_000)
    monkeypatch.setattr(
        attention, "selected_logps", lambda model, hidden, t: seen.append(hidden.shape) or real(model, hidden, t)
    )
    score(shared_model(), sequences, tokens_per_batch=10_000)
    unique = {(tuple(p), tuple(r)) for p, r in sequences}
    assert seen == [(sum(len(r) for _, r in unique), 32)]
