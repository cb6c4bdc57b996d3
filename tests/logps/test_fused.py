"""The extra kernel's place behind the head: asked with the right arguments, and only where it was seen to be right."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from icr.logps import fused, lay_out, token_logps

END = 2


def kernel(e, c, targets, *, softcap, reduction, filter_eps, accum_e_fp32, accum_c_fp32):
    """What cut-cross-entropy computes, by its documentation: it needs a GPU that is not here."""
    assert (reduction, filter_eps, accum_e_fp32, accum_c_fp32) == ("none", None, True, True)
    logits = e.float() @ c.float().T
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    return torch.nn.functional.cross_entropy(logits, targets, reduction="none")


@pytest.fixture
def installed(monkeypatch):
    """`installed(kernel)`: the package is there, with this function."""

    def install(function):
        monkeypatch.setitem(sys.modules, "cut_cross_entropy", SimpleNamespace(linear_cross_entropy=function))
        monkeypatch.setattr(fused.importlib.util, "find_spec", lambda name: name)
        fused._works.cache_clear()

    yield install
    fused._works.cache_clear()


@pytest.mark.parametrize("family", ["llama", "gemma2", "tied"])
def test_the_kernel_stands_in_for_the_tiles(make_model, ids_of, installed, monkeypatch, family):
    model = make_model(family)
    layout = lay_out([(ids_of(20, 0), [*ids_of(9, seed), END]) for seed in (1, 2)], [[0, 1]])
    results, calls = [], []
    for serves in (False, True):
        installed(lambda *args, **options: calls.append(args) or kernel(*args, **options))
        monkeypatch.setattr(fused, "serves", lambda hidden, head, serves=serves: serves)
        model.zero_grad()
        values = token_logps(model, layout)
        values.sum().backward()
        results.append([values.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert len(calls) == 1
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * max(1.0, b.abs().max().item()))


@pytest.mark.parametrize("family", ["cohere", "granite"])
def test_a_head_whose_logits_are_scaled_is_not_given_to_it(make_model, ids_of, monkeypatch, family):
    monkeypatch.setattr(fused, "serves", lambda hidden, head: pytest.fail("was asked"))
    token_logps(make_model(family), lay_out([(ids_of(5, 0), [END])]))


def test_it_serves_cuda_in_half_precision_alone():
    head = torch.nn.Linear(4, 9, bias=False).bfloat16()
    assert not fused.serves(torch.randn(3, 4, dtype=torch.bfloat16), head)


def test_a_right_kernel_is_taken(installed):
    installed(kernel)
    assert fused._works(torch.device("cpu"), torch.bfloat16)


def wrong(*args, **options):
    return kernel(*args, **options) + 0.5


def broken(*args, **options):
    raise RuntimeError("no kernel image is available")


@pytest.mark.parametrize(("function", "said"), [(wrong, "other numbers"), (broken, "no kernel image")])
def test_a_kernel_that_is_wrong_here_is_left_alone_and_named(installed, caplog, function, said):
    installed(function)
    assert not fused._works(torch.device("cpu"), torch.bfloat16)
    assert said in caplog.text


def test_nothing_is_said_where_it_is_not_installed(caplog, monkeypatch):
    fused._works.cache_clear()
    monkeypatch.setattr(fused.importlib.util, "find_spec", lambda name: None)
    assert not fused._works(torch.device("cpu"), torch.bfloat16)
    assert caplog.text == ""
    fused._works.cache_clear()
