"""The head of a GGUF file, against the package's own reader of the whole; and heads that are broken."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from icr.errors import ModelError
from icr.models.gguf import header_of
from icr.models.gguf_header import read_header
from tests.tiny_gguf import TOKENS


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_0"])
def test_the_head_is_what_the_package_reads(kind, gguf_model):
    file = gguf_model("gemma3_text", kind)
    header, whole = header_of(str(file)), gguf.GGUFReader(file)
    assert header.architecture == "gemma3"
    fields = {key: field for key, field in whole.fields.items() if not key.startswith("GGUF.")}
    assert header.metadata.keys() == fields.keys()
    for key, field in fields.items():
        expected = field.contents()
        assert header.metadata[key] == (len(expected) if isinstance(expected, list) else expected), key
    assert header.metadata["tokenizer.ggml.tokens"] == len(TOKENS)
    assert header.of_architecture("attention.sliding_window") == 16
    assert header.of_architecture("rope.scaling.type") is None
    assert list(header.tensors) == [tensor.name for tensor in whole.tensors]
    for tensor in whole.tensors:
        found = header.tensors[tensor.name]
        assert found.shape == tuple(reversed(tensor.shape.tolist()))
        assert (found.type, found.start, found.bytes) == (tensor.tensor_type, tensor.data_offset, tensor.n_bytes)
        assert found.count == tensor.n_elements
        stored = np.fromfile(file, np.uint8, found.bytes, offset=found.start)
        assert np.array_equal(stored, np.ascontiguousarray(tensor.data).view(np.uint8).ravel())


@pytest.mark.parametrize(
    ("at", "bytes", "message"),
    [
        (0, b"GGML", "it does not begin as a GGUF file does"),
        (4, (1).to_bytes(4, "little"), "it is of version 1 of the format, of which 2 and 3 are known"),
        (4, (3).to_bytes(4, "big"), "it is of version 50331648"),
        (8, (2**62).to_bytes(8, "little"), "its head is cut short or damaged"),
        (16, (2**62).to_bytes(8, "little"), "its head is cut short or damaged"),
        (24, (2**63).to_bytes(8, "little"), "its head is cut short or damaged"),
        (24 + 8, b"\xff\xfe", "its head is cut short or damaged (UnicodeDecodeError)"),
        (24 + 8, b"generol.architecture", "it does not name its architecture"),
    ],
)
def test_a_head_that_is_broken(at, bytes, message, gguf_model, tmp_path):
    content = bytearray(gguf_model().read_bytes())
    content[at : at + len(bytes)] = bytes
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(ModelError) as error:
        header_of(str(tmp_path / "x.gguf"))
    assert message in str(error.value)


def test_a_type_of_tensor_that_is_not_known(gguf_model, tmp_path):
    content = gguf_model().read_bytes()
    name = b"output_norm.weight"
    at = content.index(name) + len(name) + 4 + 8
    (tmp_path / "x.gguf").write_bytes(content[:at] + (999).to_bytes(4, "little") + content[at + 4 :])
    with pytest.raises(ValueError, match=r"output_norm\.weight is of the type 999"):
        read_header(tmp_path / "x.gguf")


def test_whatever_byte_is_wrong_there_is_a_header_or_one_of_our_errors(gguf_model, tmp_path):
    content, file = gguf_model().read_bytes(), tmp_path / "x.gguf"
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[generator.integers(8000)] = generator.integers(256)
        file.write_bytes(damaged)
        try:
            header_of(str(file))
        except ModelError:
            refused += 1
    assert refused > 10


def test_another_file(tmp_path):
    for content in (b"", b"GGU", b"GGUF", b"PK\x03\x04 whatever else", b"\x00" * 100):
        (tmp_path / "x.gguf").write_bytes(content)
        with pytest.raises(ModelError, match="cannot be used"):
            header_of(str(tmp_path / "x.gguf"))
    with pytest.raises(ModelError, match="is no GGUF file"):
        header_of(str(tmp_path))
