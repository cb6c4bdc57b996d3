"""`draw` against the exact distribution, and against the tokens that transformers' warpers keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from icr.sampling import drawing
from icr.sampling.drawing import draw, drawn_from_all

GRID = 40_000


def drawn_frequencies(logits: torch.Tensor, *settings) -> torch.Tensor:
    """Share of a fine grid of uniforms that draws each token: the distribution, to one part in `GRID`."""
    uniforms = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    tokens = draw(logits.expand(GRID, -1), uniforms, *settings)
    return torch.bincount(tokens, minlength=logits.shape[-1]).double() / GRID


def warped(logits: torch.Tensor, temperature: float, top_p: float, top_k: int | None) -> torch.Tensor:
    """Next-token probabilities after transformers' warpers, in the order in which `generate` applies them."""
    scores = TemperatureLogitsWarper(temperature)(None, logits[None].double())
    if top_k:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    return scores[0].softmax(-1)


@pytest.mark.parametrize("temperature", [0.3, 0.9, 1.0, 2.0])
@pytest.mark.parametrize("top_p", [1.0, 0.95, 0.5, 0.01])
@pytest.mark.parametrize("top_k", [None, 1, 3, 100])
def test_draw_has_the_warpers_distribution(temperature, top_p, top_k):
    logits = 2 * torch.randn(12)
    expected = warped(logits, temperature, top_p, top_k)
    got = drawn_frequencies(logits, temperature, top_p, top_k)
    assert got[expected == 0].sum() == 0
    assert (got - expected).abs().max() <= 1 / GRID + 1e-9


@settings(max_examples=150, deadline=None)
@given(
    logits=st.lists(st.integers(-60, 60), min_size=2, max_size=30, unique=True),
    temperature=st.floats(0.2, 3),
    top_p=st.floats(0.05, 1),
    top_k=st.none() | st.integers(1, 35),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_only_kept_tokens_are_drawn(logits, temperature, top_p, top_k, uniform):
    """For any number in [0, 1), its two ends among them."""
    logits = torch.tensor(logits) / 7.3
    expected = warped(logits, temperature, top_p, top_k)
    uniforms = torch.tensor([uniform, 0.0, 1 - 2**-53], dtype=torch.float64)
    tokens = draw(logits.expand(3, -1), uniforms, temperature, top_p, top_k)
    assert (expected[tokens] > 0).all()


def test_rows_are_independent():
    logits, uniforms = torch.randn(50, 20), torch.rand(50, dtype=torch.float64)
    for settings_ in [(1.0,), (0.7, 0.8), (1.3, 1.0, 4), (1.0, 0.6, 5)]:
        together = draw(logits, uniforms, *settings_)
        alone = torch.cat([draw(logits[i : i + 1], uniforms[i : i + 1], *settings_) for i in range(50)])
        assert torch.equal(together, alone)


def test_temperature_zero_takes_the_most_likely():
    logits = torch.randn(30, 20)
    assert torch.equal(draw(logits, torch.rand(30), 0), logits.argmax(-1))


def test_a_token_without_probability_is_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]]).expand(3, -1)
    assert draw(logits, torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64), 1.0).tolist() == [1, 3, 3]


def test_small_numbers_reach_a_small_probability():
    """A token of probability 1e-8 is drawn by the numbers that fall to it, which float32 would round away."""
    logits = torch.tensor([[0.0, np.log(1e-8)]])
    assert draw(logits, torch.tensor([1 - 5e-9], dtype=torch.float64), 1.0).item() == 1
    assert draw(logits, torch.tensor([1 - 2e-8], dtype=torch.float64), 1.0).item() == 0


@pytest.mark.parametrize("temperature", [0.3, 0.9, 2.0])
@pytest.mark.parametrize("size", [drawing.MANY, drawing.MANY + 3])
def test_a_large_vocabulary_is_looked_up_block_by_block(temperature, size):
    """Against the cumulative distribution in float64: each number lies between its token's two ends."""
    logits = 3 * torch.randn(200, size)
    logits[0, : size // 2] = -torch.inf
    logits[1, 7:] = -torch.inf
    uniforms = torch.rand(200, dtype=torch.float64)
    uniforms[:2] = uniforms[-2:] = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    tokens = draw(logits, uniforms, temperature)
    probabilities = (logits.double() / temperature).softmax(-1)
    ends = probabilities.cumsum(-1).gather(1, tokens[:, None]).squeeze(1)
    assert (ends > uniforms - 1e-7).all()
    assert (ends - probabilities.gather(1, tokens[:, None]).squeeze(1) < uniforms + 1e-7).all()
    assert (probabilities.gather(1, tokens[:, None]) > 0).all()
    assert tokens[1] == 6
    assert draw(logits[5:6], uniforms[5:6], temperature) == tokens[5]


@pytest.mark.parametrize("size", [12, drawing.MANY + 3])
@pytest.mark.parametrize("settings_", [(1.0,), (1.0, 0.9), (1.0, 1.0, 5)])
def test_of_logits_that_are_no_numbers_a_token_of_the_vocabulary_is_drawn(size, settings_):
    """A model that has gone astray is told by its log-probs, which need tokens that exist."""
    logits = torch.randn(3, size)
    logits[0], logits[1, 5] = torch.nan, torch.nan
    tokens = draw(logits, torch.tensor([0.3, 0.9, 0.5]), *settings_)
    assert ((tokens >= 0) & (tokens < size)).all()


def test_a_large_vocabulary_with_little_mass_in_a_token():
    """One token of 1e-8 among 40,000 that have next to none, in a block before or behind the likely one."""
    for rare in (3, 39_999):
        logits = torch.full((1, 40_000), -50.0)
        logits[0, 20_000], logits[0, rare] = 0.0, np.log(1e-8)
        number = 5e-9 if rare == 3 else 1 - 5e-9
        assert draw(logits, torch.tensor([number], dtype=torch.float64), 1.0).item() == rare
        assert draw(logits, torch.tensor([0.5], dtype=torch.float64), 1.0).item() == 20_000


@pytest.mark.parametrize(
    "settings_", [(1.0, 0.9), (0.7, 1.0, 50), (1.0, 0.47, 50), (1.0, 0.9, 5000), (1.0, 0.9, 10**6)]
)
@pytest.mark.parametrize("kind", ["peaked", "flat", "ties"])
def test_of_a_large_vocabulary_few_tokens_are_sorted_and_the_same_are_drawn(kind, settings_, monkeypatch):
    """Whether the few hold all that is kept (peaked), cannot (flat), or end among tokens that are equally likely."""
    sorts = []
    monkeypatch.setattr(drawing, "drawn_from_all", lambda p, *rest: sorts.append(len(p)) or drawn_from_all(p, *rest))
    size = (30, drawing.MANY)
    logits = {"peaked": 6 * torch.randn(size), "flat": torch.randn(size) / 9, "ties": torch.randint(-9, 9, size) / 2}
    uniforms = torch.rand(30, dtype=torch.float64)
    uniforms[:2] = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    few = draw(logits[kind], uniforms, *settings_)
    if kind == "peaked" and settings_[2:] != (10**6,):
        assert not sorts
    if kind != "peaked" and settings_[1:] == (0.9,):
        assert sorts == [30]
    monkeypatch.setattr(drawing, "MANY", 10**9)
    assert torch.equal(draw(logits[kind], uniforms, *settings_), few)
    assert sorts[-1] == 30
