"""Broken weights are found, whatever is around them."""

from __future__ import annotations

import math

import pytest
import torch

from icr.models.finite import not_finite


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_single_weight_is_found(make_model, dtype, value, place):
    model = make_model().to(dtype)
    assert not_finite(model) == []
    name, weight = list(model.named_parameters())[3]
    with torch.no_grad():
        weight.view(-1)[place] = value
    assert not_finite(model) == [name]


def test_large_weights_and_none_are_no_fault(make_model):
    model = make_model().half()
    model.extra = torch.nn.Parameter(torch.empty(0))
    with torch.no_grad():
        next(model.parameters()).fill_(65504)  # The largest of float16, whose sum is none.
    assert not_finite(model) == []
