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
    """`installed(kernel)`: the package is there, with this function; it is tried on a vocabulary of 4096 tokens."""

    def install(function, vocabulary=4096):
        monkeypatch.setattr(fused, "VOCABULARY", vocabulary)
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


def test_the_mode_of_the_first_call_does_not_decide(installed):
    """A process scores first, in inference mode, where no gradient can be taken; what it finds is kept."""
    installed(kernel)
    with torch.inference_mode():
        assert fused._works(torch.device("cpu"), torch.bfloat16)


class SumsInHalfPrecision(torch.autograd.Function):
    """Gradients as cut-cross-entropy sums them up by itself: a part of the vocabulary at a time, in bfloat16."""

    @staticmethod
    def forward(ctx, e, c, targets):
        ctx.save_for_backward(e, c, targets)
        return torch.nn.functional.cross_entropy(e.float() @ c.float().T, targets, reduction="none")

    @staticmethod
    def backward(ctx, gradient):
        e, c, targets = ctx.saved_tensors
        down = (e.float() @ c.float().T).softmax(1)
        down[torch.arange(len(targets)), targets] -= 1
        down = (down * gradient[:, None]).to(e.dtype)
        of_e = torch.zeros_like(e)
        for part in range(0, len(c), 128):
            of_e += (down[:, part : part + 128].float() @ c[part : part + 128].float()).to(e.dtype)
        return of_e, (down.T.float() @ e.float()).to(c.dtype), None


def test_gradients_that_are_summed_in_half_precision_are_refused(installed, caplog):
    """Off by 4 to 6 per cent over a vocabulary of 131072; the same sums in float32 are off by 0.2 per cent."""
    installed(lambda e, c, targets, **options: SumsInHalfPrecision.apply(e, c, targets), vocabulary=fused.VOCABULARY)
    assert not fused._works(torch.device("cpu"), torch.bfloat16)
    assert "other numbers" in caplog.text


def test_a_release_that_cannot_sum_in_float32_is_left_alone_and_named(installed, caplog):
    """25.1.1, which has no such argument."""
    installed(lambda e, c, targets, *, softcap, reduction, filter_eps: kernel(e, c, targets))
    assert not fused._works(torch.device("cpu"), torch.bfloat16)
    assert "unexpected keyword argument 'accum_e_fp32'" in caplog.text


def test_that_memory_ran_out_is_not_remembered(installed, monkeypatch):
    def full(*args, **options):
        raise torch.OutOfMemoryError

    installed(full)
    with pytest.raises(torch.OutOfMemoryError):
        fused._works(torch.device("cpu"), torch.bfloat16)
    monkeypatch.setattr(sys.modules["cut_cross_entropy"], "linear_cross_entropy", kernel)
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
