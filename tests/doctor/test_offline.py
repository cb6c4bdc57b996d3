"""A plan asks no hub, also where the environment allows it."""

from __future__ import annotations

import socket

import httpx
import pytest
from huggingface_hub import constants

PAIR = ["data=parallel", "model.path=nobody/policy", "reward_pair.reference=nobody/reference"]
SHAPE = ["model_type=llama", "hidden_size=64", "num_hidden_layers=2", "num_attention_heads=4", "vocab_size=512"]


@pytest.fixture
def tried(monkeypatch) -> list[object]:
    """Connections that were tried; each fails."""
    tried: list[object] = []

    def refuse(*arguments, **_):
        tried.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", refuse)
    return tried


def test_a_described_model_is_planned_without_a_connection(examine, tried):
    seen = examine("plan", *PAIR, *(f"+model.shape.{part}" for part in SHAPE), "doctor.prompts=10")
    assert seen.status == 0, seen.errors
    assert seen.results["plan"]["phases"]
    assert tried == []
    assert constants.HF_HUB_OFFLINE is False


def test_a_model_that_is_not_here_is_refused_without_a_connection(examine, tried):
    seen = examine("plan", *PAIR)
    assert seen.status == 2
    assert "The configuration of nobody/policy is not on this machine" in seen.errors
    assert "+model.shape.model_type=llama" in seen.errors
    assert tried == []
