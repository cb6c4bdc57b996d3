"""The error of a quantisation, estimated from the file alone, against that of weights which are known."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from icr.models.gguf_precision import Stored, precision, together
from tests.tiny_gguf import TOKENS, write_gguf

DRAWS = {"normal": np.random.Generator.standard_normal, "heavy tails": lambda g, size: g.standard_t(4, size)}
BITS = {"Q4_0": 4.5, "Q4_1": 5.0, "Q5_0": 5.5, "Q5_1": 6.0, "Q8_0": 8.5}


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("kind", BITS)
def test_the_estimate_is_the_error_within_a_twentieth(kind, draw, make_model, tmp_path):
    generator, type = np.random.default_rng(0), gguf.GGMLQuantizationType[kind]
    weights = (0.02 * DRAWS[draw](generator, (1024, 1024))).astype(np.float32)
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_tensor("blk.0.ffn_up.weight", gguf.quantize(weights, type), raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (found,) = precision(str(tmp_path / "x.gguf"))
    rounded = gguf.dequantize(gguf.quantize(weights, type), type)
    error = np.sqrt(np.square(rounded - weights).mean() / np.square(weights).mean())
    assert (found.type, found.weights, found.bits) == (kind, 2**20, BITS[kind])
    assert found.error == pytest.approx(error, rel=0.05)


def test_types_come_by_their_share_and_norms_are_as_published(make_model, tmp_path):
    model = make_model(vocab_size=len(TOKENS))
    blocks, norms = precision(str(write_gguf(model, tmp_path / "x.gguf", "Q8_0")))
    assert (blocks.type, norms) == ("Q8_0", Stored("F32", 5 * 32, 32.0, 0.0))
    assert blocks.weights + norms.weights == sum(parameter.numel() for parameter in model.parameters())
    assert 0.003 < blocks.error < 0.01
    (plain,) = precision(str(write_gguf(model, tmp_path / "y.gguf")))
    assert (plain.type, plain.error) == ("F32", 0.0)


def test_types_whose_levels_are_uneven_say_nothing(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    blocks = np.zeros((4, 18), np.uint8)
    writer.add_tensor("blk.0.ffn_up.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.IQ4_NL)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (found,) = precision(str(tmp_path / "x.gguf"))
    assert found == Stored("IQ4_NL", 128, 4.5, None)
    assert together([found, Stored("Q8_0", 128, 8.5, 0.01)]) == Stored("", 256, 6.5, None)


def test_errors_of_several_types_are_together_in_the_root_mean_square():
    whole = together([Stored("Q4_0", 300, 4.5, 0.08), Stored("Q8_0", 100, 8.5, 0.0)])
    assert (whole.weights, whole.bits) == (400, 5.5)
    assert whole.error == pytest.approx(0.08 * np.sqrt(0.75))
