"""The plain way to a log-prob, against which the engine is held."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch


def plain_logps(model, prompt: Sequence[int], response: Sequence[int]) -> torch.Tensor:
    """One sequence through transformers' own forward; log-softmax of its logits in float32, gathered by hand."""
    ids = torch.tensor([[*prompt, *response]])
    logits = model(input_ids=ids).logits[0].float()
    logps = logits.log_softmax(-1)
    return torch.stack([logps[len(prompt) + t - 1, token] for t, token in enumerate(response)])


@pytest.fixture(scope="session")
def plain():
    return plain_logps


@pytest.fixture(scope="session")
def ids_of():
    """`ids_of(length, seed)`: token ids, special tokens among them."""

    def make(length: int, seed: int) -> list[int]:
        return torch.randint(0, 262, (length,), generator=torch.Generator().manual_seed(seed)).tolist()

    return make


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """What was found out about an architecture in one test is not known in the next: some break it on purpose."""
    monkeypatch.setattr("icr.logps.ways._of_architecture", {})
