"""The head of a GGUF file, read without its weights.

The package `gguf` has a reader of the whole, which takes 15 seconds for a vocabulary of 262,144 tokens, and
transformers has one among its internals. Neither sees that a file is cut short. The format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

VERSIONS = (2, 3)
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""`struct` codes of metadata types; the others are 8, a string, and 9, an array."""
STRING, ARRAY = 8, 9

Value = str | int | float | bool


@dataclass(frozen=True)
class Tensor:
    """One tensor as it is stored.

    Attributes:
        shape: in torch's order: the last dimension is contiguous.
        type: ggml's number of its type.
        start: of its first byte in the file.
        bytes: that it takes.
    """

    shape: tuple[int, ...]
    type: int
    start: int
    bytes: int

    @property
    def count(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        file: on this machine.
        metadata: by key; of arrays their lengths.
        tensors: by name.
    """

    file: Path
    metadata: dict[str, Value]
    tensors: dict[str, Tensor]

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the model family, such as `gemma3`."""
        return str(self.metadata["general.architecture"])

    def of_architecture(self, key: str) -> Value | None:
        """The metadata of the family at `key`, such as `rope.freq_base`; None where it has none."""
        return self.metadata.get(f"{self.architecture}.{key}")


def read_header(file: Path) -> Header:
    """Metadata and table of tensors, all of which lie within the file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no GGUF file, is cut short or damaged, or has a type of tensor that `gguf` does not know.
    """
    with file.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ValueError("it does not begin as a GGUF file does")
        with mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
            try:
                return _Reader(content).header(file)
            except (struct.error, UnicodeDecodeError, KeyError, OverflowError, MemoryError, ZeroDivisionError) as error:
                raise ValueError(f"its head is cut short or damaged ({type(error).__name__})") from error


class _Reader:
    """Walks the head from its begin to its end."""

    def __init__(self, content: mmap):
        self.content = content
        self.position = 4

    def header(self, file: Path) -> Header:
        version, tensors, entries = self._take("IQQ")
        if version not in VERSIONS:
            raise ValueError(f"it is of version {version} of the format, of which 2 and 3 are known")
        metadata = dict(self._entry() for _ in range(entries))
        if not isinstance(metadata.get("general.architecture"), str):
            raise ValueError("it does not name its architecture")
        table = [self._tensor() for _ in range(tensors)]
        alignment = int(metadata.get("general.alignment", 32))
        start = -(-self.position // alignment) * alignment
        placed = {name: _placed(name, shape, type, start + offset) for name, shape, type, offset in table}
        end = max((tensor.start + tensor.bytes for tensor in placed.values()), default=0)
        if end > len(self.content):
            raise ValueError(f"it is cut short: it has {len(self.content):,} bytes, and should have {end:,}")
        return Header(file, metadata, placed)

    def _entry(self) -> tuple[str, Value]:
        key = self._string()
        (type,) = self._take("I")
        return key, self._value(type)

    def _value(self, type: int) -> Value:
        if type == STRING:
            return self._string()
        if type != ARRAY:
            value: Value = self._take(SCALARS[type])[0]
            return value
        kind, length = self._take("IQ")
        if kind == STRING:
            for _ in range(length):
                self._skip(*self._take("Q"))
        elif kind == ARRAY:
            raise ValueError("its metadata has an array of arrays")
        else:
            self._skip(length * struct.calcsize(SCALARS[kind]))
        return int(length)

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        (dimensions,) = self._take("I")
        shape = self._take(f"{dimensions}Q")
        type, offset = self._take("IQ")
        return name, tuple(reversed(shape)), type, offset

    def _string(self) -> str:
        (length,) = self._take("Q")
        start = self.position
        self._skip(length)
        return self.content[start : self.position].decode("utf-8")

    def _take(self, format: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{format}", self.content, self.position)
        self.position += struct.calcsize(f"<{format}")
        return values

    def _skip(self, count: int) -> None:
        self.position += count
        if self.position > len(self.content):
            raise struct.error("past the end")


def _placed(name: str, shape: tuple[int, ...], type: int, start: int) -> Tensor:
    from gguf import GGML_QUANT_SIZES

    sizes = {int(known): size for known, size in GGML_QUANT_SIZES.items()}
    if type not in sizes:
        raise ValueError(f"its tensor {name} is of the type {type}, which the package gguf does not know")
    block, width = sizes[type]
    count = math.prod(shape)
    if not shape or shape[-1] % block:
        raise ValueError(f"its tensor {name} has rows of {shape[-1:]} weights, and its type blocks of {block}")
    return Tensor(shape, type, start, count // block * width)
