"""Scaled positions: what a GGUF file says of them is in the configuration, or the file is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from icr.errors import ModelError
from icr.models import Loader
from icr.models.configuration import configuration
from tests.tiny_gguf import TOKENS, write_gguf

IDS = torch.arange(6, 246)[None]
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
LONG = {"vocab_size": len(TOKENS), "max_position_embeddings": 16384}
HEAD = 128
"""As in Llama 3: smaller heads have few frequencies that the scaling reaches."""


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def divisors(theta: float, factor: float) -> np.ndarray:
    """What llama.cpp's converter writes for Llama 3.1, as it computes it."""
    found = []
    for i in range(0, HEAD, 2):
        length = 2 * math.pi * theta ** (i / HEAD)
        smooth = (8192 / length - 1) / (4 - 1)
        between = 1 / ((1 - smooth) / factor + smooth)
        found.append(1.0 if length < 8192 / 4 else factor if length > 8192 else between)
    return np.array(found, dtype=np.float32)


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_the_frequencies_of_llama_3_are_those_of_its_configuration(factor, make_model, tmp_path):
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": factor, **LLAMA3}
    model = make_model(rope_parameters=rope, head_dim=HEAD, **LONG)
    table = {"rope_freqs.weight": divisors(500000.0, factor)}
    file = str(write_gguf(model, tmp_path / "x.gguf", extra=table))
    loaded = Loader().load(file)
    assert loaded.model.config.rope_parameters == rope
    assert torch.equal(logits(loaded.model), logits(model))
    plain = make_model(head_dim=HEAD, rope_parameters={"rope_type": "default", "rope_theta": 500000.0}, **LONG)
    assert (logits(plain) - logits(model)).abs().max() > 0.01
    loaded.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved/config.json").read_text())["rope_parameters"] == rope
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "saved")), logits(model))


def test_frequencies_that_are_divided_by_one(make_model, tmp_path):
    model = make_model(head_dim=HEAD, **LONG)
    ones = {"rope_freqs.weight": np.ones(HEAD // 2, dtype=np.float32)}
    loaded = Loader().load(str(write_gguf(model, tmp_path / "x.gguf", extra=ones)))
    assert torch.equal(logits(loaded.model), logits(model))


def test_full_attention_of_gemma_3(make_model, tmp_path):
    rope = {
        "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
    shape = {"final_logit_softcapping": None, "tie_word_embeddings": True, "num_hidden_layers": 6}
    model = make_model("gemma3_text", rope_parameters=rope, **shape, **LONG)
    scaling = {"gemma3.rope.scaling.type": "linear", "gemma3.rope.scaling.factor": 8.0}
    loaded = Loader().load(str(write_gguf(model, tmp_path / "x.gguf", metadata=scaling)))
    assert loaded.model.config.rope_parameters == rope
    assert torch.equal(logits(loaded.model), logits(model))
    rope["full_attention"] = {"rope_type": "default", "rope_theta": 1e6}
    assert not torch.equal(logits(make_model("gemma3_text", rope_parameters=rope, **shape, **LONG)), logits(model))


@pytest.mark.parametrize(
    ("extra", "metadata", "message"),
    [
        ({"rope_freqs.weight": np.linspace(1, 8, HEAD // 2, dtype=np.float32)}, {}, "that is not Llama 3's"),
        ({"rope_freqs.weight": divisors(500000.0, 8.0)[1:]}, {}, "that is not Llama 3's"),
        ({"rope_factors_long.weight": np.ones(HEAD // 2, dtype=np.float32)}, {}, "a table of frequencies"),
        ({}, {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}, "rope.scaling.type=yarn"),
        ({}, {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}, "rope.scaling.type=linear"),
    ],
)
def test_any_other_scaling_is_refused(extra, metadata, message, make_model, tmp_path):
    file = write_gguf(make_model(head_dim=HEAD, **LONG), tmp_path / "x.gguf", extra=extra, metadata=metadata)
    with pytest.raises(ModelError, match="scales the positions of its tokens") as error:
        Loader().renderer(str(file))
    assert message in str(error.value)


@pytest.mark.parametrize("scaling", [{"type": "none", "factor": 4.0}, {"type": "linear", "factor": 1.0}])
def test_scaling_by_nothing(scaling, make_model, tmp_path):
    named = {f"llama.rope.scaling.{name}": value for name, value in scaling.items()}
    file = write_gguf(make_model(**LONG), tmp_path / "x.gguf", metadata=named)
    assert configuration(str(file)).rope_parameters["rope_type"] == "default"
