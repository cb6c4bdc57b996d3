"""Batches within the budget, memory that runs out, numbers that are not finite."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icr.logps import NonFiniteLogpError, attention, score, shares_prompts
from icr.logps.attention import joins_rows
from icr.logps.scoring import plan

END = 2


@pytest.fixture
def sequences(ids_of):
    return [(ids_of(5 + 3 * i, i), [*ids_of(i % 4, 50 + i), END]) for i in range(12)]


@given(sizes=st.lists(st.integers(2, 50), max_size=30), budget=st.integers(1, 300))
def test_plan_covers_all_once_within_the_budget(sizes, budget):
    sequences = [([0] * (size - 1), [0]) for size in sizes]
    order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
    batches = list(plan(order, sequences, budget, share=False))
    assert [row for batch in batches for row in batch] == [[i] for i in order]
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(sizes[i] for (i,) in batch) <= budget
    for batch in batches[:-1]:
        # It had no room for one more.
        assert (len(batch) + 1) * sizes[batch[0][0]] > budget


@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    length=st.integers(1, 9),
    budget=st.integers(1, 120),
    halvings=st.integers(0, 5),
)
def test_plan_shares_prompts_within_the_budget(counts, length, budget, halvings):
    """Responses to one prompt lie in one row, in as few rows as the budget (or twice the prompt) allows."""
    sequences = [([prompt] * 10, [0] * length) for prompt, count in enumerate(counts) for _ in range(count)]
    batches = list(plan(range(len(sequences)), sequences, budget << halvings, halvings, share=True))
    rows = [row for batch in batches for row in batch]
    assert sorted(i for row in rows for i in row) == list(range(len(sequences)))
    fit = max(1, (max(budget, 10 + (10 >> halvings)) - 10) // length)
    assert len(rows) == sum(-(-count // fit) for count in counts)
    for batch in batches:
        widths = [10 + length * len(row) for row in batch]
        assert len({tuple(sequences[i][0]) for i in batch[0]}) == 1
        assert len(batch) == 1 or len(batch) * max(widths) <= budget


class Memory:
    """A device that holds `limit` tokens or `rows` rows: a larger forward pass raises what CUDA raises."""

    def __init__(self, model, limit: int = 10**9, rows: int = 10**9):
        # Found out once a model, on a small example.
        shares_prompts(model)
        joins_rows(model)
        self.shapes, self.limit, self.rows = [], limit, rows
        self.handle = model.get_decoder().register_forward_pre_hook(self.check, with_kwargs=True)

    def check(self, module, args, kwargs):
        shape = tuple(kwargs["input_ids"].shape)
        self.shapes.append(shape)
        if shape[0] * shape[1] > self.limit or shape[0] > self.rows:
            raise torch.OutOfMemoryError("simulated")


def test_out_of_memory_halves_the_budget_and_changes_nothing(make_model, sequences, caplog):
    model = make_model()
    expected = score(model, sequences, tokens_per_batch=10_000)
    memory = Memory(model, limit=100)
    finished = []
    with caplog.at_level(logging.WARNING):
        got = score(model, sequences, tokens_per_batch=640, on_batch=finished.append)
    assert [record.args for record in caplog.records] == [(320,), (160,), (80,)]
    assert sum(finished) == len(sequences)
    assert max(rows * width for rows, width in memory.shapes[4:]) <= 100
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_memory_may_run_out_after_a_sequence_longer_than_the_budget(make_model, ids_of, monkeypatch):
    """The longest fits alone, though it exceeds the budget; then two shorter ones together do not."""
    monkeypatch.setattr(attention, "joins_rows", lambda model: False)
    model = make_model()
    sequences = [(ids_of(90, 0), [END]), *[(ids_of(39, i), [END]) for i in range(1, 5)]]
    memory = Memory(model, rows=1)
    got = score(model, sequences, tokens_per_batch=85)
    assert all(len(values) == 1 for values in got)
    assert memory.shapes == [(1, 90), (2, 39), *[(1, 39)] * 4]


def test_a_prompt_longer_than_the_budget_is_shared_until_memory_runs_out(make_model, ids_of):
    """Rather than run with each response, which a budget below its length would ask for."""
    model = make_model()
    sequences = [(ids_of(90, 0), [*ids_of(20, i), END]) for i in range(1, 9)]
    memory = Memory(model)
    expected = score(model, sequences, tokens_per_batch=64)
    assert memory.shapes == [(1, 90 + 4 * 20), (1, 90 + 4 * 20)]
    memory.handle.remove()
    memory = Memory(model, limit=110)
    got = score(model, sequences, tokens_per_batch=64)
    assert memory.shapes[-8:] == [(1, 110)] * 8
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_out_of_memory_with_a_single_sequence_is_raised(make_model, sequences):
    model = make_model()
    memory = Memory(model, limit=10)
    model.train()
    with pytest.raises(torch.OutOfMemoryError):
        score(model, sequences, tokens_per_batch=300)
    assert memory.shapes[-1][0] == 1
    assert model.training


def test_non_finite_log_probs_name_their_sequence(make_model, sequences):
    model = make_model().train()
    with torch.no_grad():
        # Only a prompt that holds this token sees the NaN.
        model.get_input_embeddings().weight[77] = float("nan")
    clean = [([t for t in prompt if t != 77], [t for t in response if t != 77]) for prompt, response in sequences]
    score(model, clean, tokens_per_batch=300)
    clean[7][0][2] = 77
    for budget in (1, 300):
        with pytest.raises(NonFiniteLogpError, match="sequence 7") as caught:
            score(model, clean, tokens_per_batch=budget)
        assert caught.value.index == 7
    assert model.training


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_left_as_it_was(make_model, sequences, training):
    model = make_model(attention_dropout=0.5).train(training)
    a, b = (score(model, sequences, tokens_per_batch=300) for _ in range(2))
    assert model.training == training
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not any(p.grad is not None for p in model.parameters())


def test_nothing_to_score(shared_model):
    assert score(shared_model(), [], tokens_per_batch=10) == []
