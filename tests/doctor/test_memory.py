"""The rehearsal sees what the real pass allocates; what stays is counted."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from icr.doctor.plan.memory import state_bytes, weight_bytes
from icr.doctor.plan.rehearsal import PeakBytes, Rehearsal
from icr.logps import tiles
from icr.logps.attention import run
from icr.logps.layout import MAX_ROW, lay_out, rows_by_prompt
from icr.models.adapters import Lora, Quantisation
from icr.models.memory import checkpoint_activations
from tests.tiny_models import FAMILIES, SHAPE

SEQUENCES = [([1, 2, 3], [4] * 9), ([1, 2, 3], [5] * 7), ([2, 2], [6] * 8)]


def config_of(family: str):
    return AutoConfig.for_model(family, **{**SHAPE, **FAMILIES[family]})


def test_peak_of_tensors_that_come_and_go():
    known = torch.zeros(50)
    with PeakBytes([known]) as memory:
        first = torch.zeros(1000)
        second = first + 1
        view = second[10:]
        known.add_(1)
        del first
        third = torch.zeros(10, dtype=torch.float64)
    assert (memory.now, memory.peak) == (4000 + 80, 8000)
    del second, third
    assert memory.now == 4000  # The view holds it.
    del view
    assert memory.now == 0


def as_it_is(model):
    return model


def with_a_frozen_head(model):
    """Frozen alone, its slope is had in the forward pass, where too many logits would have to be kept."""
    model.get_output_embeddings().requires_grad_(False)
    return model


def held(config, prepare, accumulates: bool) -> int:
    """Peak bytes of a real training pass."""
    model = prepare(AutoModelForCausalLM.from_config(config, dtype=torch.float32).train())
    layout = lay_out(SEQUENCES, rows_by_prompt(SEQUENCES, range(3), MAX_ROW))
    run(model, layout).sum().backward()  # Tries out the ways to run it, and makes gradients.
    if not accumulates:
        model.zero_grad()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    grads = [parameter.grad for parameter in trained if accumulates]
    with PeakBytes([*model.parameters(), *model.buffers(), *grads]) as memory:
        loss = run(model, layout).sum()
        forward = memory.peak
        loss.backward()
    made = 0 if accumulates else sum(parameter.nbytes for parameter in trained)
    return max(forward, memory.peak - made)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "gpt2"])
@pytest.mark.parametrize("accumulates", [True, False])
def test_a_rehearsed_training_pass_holds_what_the_real_one_holds(family, accumulates):
    planned = Rehearsal(config_of(family), torch.float32).training(SEQUENCES, accumulates=accumulates)
    assert planned == pytest.approx(held(config_of(family), as_it_is, accumulates), rel=0.02)


def test_a_rehearsed_training_pass_under_a_frozen_head(monkeypatch):
    monkeypatch.setattr(tiles, "KEPT_ELEMENTS", 0)
    config = config_of("llama")
    planned = Rehearsal(config, torch.float32, prepare=with_a_frozen_head).training(SEQUENCES, accumulates=True)
    assert planned == pytest.approx(held(config, with_a_frozen_head, accumulates=True), rel=0.02)


def test_checkpointing_and_adapters_hold_less():
    config = AutoConfig.for_model("llama", **SHAPE | {"num_hidden_layers": 8})

    def checkpointed(model):
        checkpoint_activations(model)
        return model

    def adapted(model):
        Lora(r=2).add_to(model, "base", 0)
        return model

    long = [([1] * 20, [2] * 200)]
    full, less = (Rehearsal(config, torch.float32, prepare=prepare) for prepare in (lambda model: model, checkpointed))
    assert less.training(long, accumulates=True) < 0.5 * full.training(long, accumulates=True)
    lora = Rehearsal(config, torch.float32, prepare=adapted)
    trained = sum(parameter.numel() for parameter in lora.model.parameters() if parameter.requires_grad)
    # q, k, v, o, gate, up, down: r · (inputs + outputs) each.
    assert trained == 8 * 2 * (64 + 48 + 48 + 64 + 96 + 96 + 96)
    assert lora.training(long, accumulates=True) > 0


def test_a_longer_batch_takes_more_and_nothing_is_computed():
    huge = AutoConfig.for_model("llama", num_hidden_layers=40, hidden_size=8192, intermediate_size=28672)
    rehearsal = Rehearsal(huge, torch.bfloat16)
    peaks = [rehearsal.sampling(2, 100, 4, tokens, truncates=False) for tokens in (100, 200)]
    # Keys and values of 8 rows, in bfloat16; the rest of a step is small beside them.
    grown = 8 * 100 * 2 * 40 * 8192 * 2
    assert peaks[1] - peaks[0] == pytest.approx(grown, rel=0.1)


def test_weights_in_their_dtype_and_in_four_bits():
    pytest.importorskip("bitsandbytes")
    model = Rehearsal(config_of("llama"), torch.bfloat16, prepare=lambda m: m.requires_grad_(False)).model
    count = sum(parameter.numel() for parameter in model.parameters())
    assert weight_bytes(model, None) == 2 * count
    layers = sum(p.numel() for name, p in model.named_parameters() if name.endswith("proj.weight"))
    assert weight_bytes(model, Quantisation(double=False)) == pytest.approx(
        2 * (count - layers) + layers * (0.5 + 4 / 64)
    )
    assert weight_bytes(model, Quantisation(double=True)) == pytest.approx(
        2 * (count - layers) + layers * (0.5 + 1 / 64 + 4 / 64 / 256)
    )


@pytest.mark.parametrize(
    ("optimizer", "dtype", "size"),
    [
        (torch.optim.AdamW, torch.float32, 8),
        (torch.optim.AdamW, torch.bfloat16, 4),
        (partial(torch.optim.SGD, lr=1), torch.float32, 0),
        (partial(torch.optim.SGD, lr=1, momentum=0.9), torch.float32, 4),
    ],
)
def test_states_of_an_optimiser(optimizer, dtype, size):
    assert state_bytes(optimizer, dtype) == pytest.approx(size, abs=0.01)


def test_states_in_eight_bits():
    bitsandbytes = pytest.importorskip("bitsandbytes")
    # Two bytes, and a float32 scale of each for a block of 256.
    assert state_bytes(bitsandbytes.optim.AdamW8bit, torch.float32) == pytest.approx(2 + 8 / 256, abs=0.05)
