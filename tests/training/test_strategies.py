"""What strategies say about themselves."""

from __future__ import annotations

import importlib.util

import pytest

from icr.training import DDP, FSDP2, DeepSpeed, Sharding


@pytest.fixture(autouse=True)
def deepspeed(monkeypatch):
    """As if DeepSpeed were installed, which takes CUDA."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name == "deepspeed" else found(name))


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (DDP, Sharding(1, 1, 1)),
        (FSDP2, Sharding(8, 8, 8)),
        (lambda: DeepSpeed(stage=1), Sharding(1, 1, 8)),
        (lambda: DeepSpeed(stage=2), Sharding(1, 8, 8)),
    ],
    ids=["ddp", "fsdp2", "zero 1", "zero 2"],
)
def test_what_is_split_over_eight_devices(strategy, expected):
    assert strategy().sharding(8) == expected
    assert strategy().sharding(1) == Sharding()


def test_strategies_that_split_weights_say_so():
    for strategy in (DDP(), FSDP2(), DeepSpeed()):
        assert strategy.shards == (strategy.sharding(2).weights > 1)
