"""What a GGUF file's quantisation has cost, as far as the file can tell.

The weights that were rounded are not in it, but the steps that they were rounded to are: a weight lies anywhere within
half a step `Δ` of what is stored, so that it is off by `Δ/√12` in the root mean square. The relative error of a tensor:

    √(mean(Δ²/12) / mean(w²))

with `Δ` of each block from the range of its values `w`, which the smallest and largest levels span. It is an estimate:
quantisers that give up the outermost values for the others, as K-quants do, use smaller steps and cut more.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from icr.models.gguf import header_of
from icr.models.gguf_header import Header, Tensor

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

SAMPLE = 2**16
"""Weights of a tensor that are looked at, in whole rows."""
FLOATS = ("F64", "F32", "F16", "BF16")
"""Types without blocks."""
SYMMETRIC = {"Q4_0": (32, 8), "Q5_0": (32, 16), "Q8_0": (32, 127), "Q3_K": (16, 4), "Q6_K": (16, 32)}
"""Weights that share a step, and how many steps the largest of them is from zero."""
ASYMMETRIC = {"Q4_1": (32, 15), "Q5_1": (32, 31), "Q2_K": (16, 3), "Q4_K": (32, 15), "Q5_K": (32, 31)}
"""Weights that share a step, and how many steps the smallest of them is from the largest."""


@dataclass(frozen=True)
class Stored:
    """Tensors of one type, or of several.

    Attributes:
        type: ggml's name of it, such as `Q4_K`; empty for several.
        weights: number of them.
        bits: per weight, scales included.
        error: relative root mean square of what rounding has changed, estimated; 0 for floating-point types, which may
            be what was published; None where the levels of the type are not evenly spaced.
    """

    type: str
    weights: int
    bits: float
    error: float | None


def precision(path: str) -> list[Stored]:
    """How the weights of the GGUF file at `path` are stored, by type, the largest share first.

    Raises:
        ModelError: the file cannot be used.
    """
    from gguf import GGMLQuantizationType

    header = header_of(path)
    by_type: dict[str, list[Stored]] = defaultdict(list)
    for tensor in header.tensors.values():
        type = GGMLQuantizationType(tensor.type)
        error = _error(header, tensor, type)
        by_type[type.name].append(Stored(type.name, tensor.count, 8 * tensor.bytes / tensor.count, error))
    return sorted((together(found, name) for name, found in by_type.items()), key=lambda each: -each.weights)


def together(parts: Sequence[Stored], type: str = "") -> Stored:
    """Several as one: their errors in the root mean square over weights."""
    weights = sum(part.weights for part in parts)
    bits = _mean(parts, (part.bits for part in parts))
    errors = [part.error for part in parts if part.error is not None]
    error = math.sqrt(_mean(parts, (error**2 for error in errors))) if len(errors) == len(parts) else None
    return Stored(type, weights, bits, error)


def _mean(parts: Sequence[Stored], values: Iterable[float]) -> float:
    pairs = list(zip(parts, values, strict=True))
    return sum(part.weights * value for part, value in pairs) / sum(part.weights for part, _ in pairs)


def _error(header: Header, tensor: Tensor, type: GGMLQuantizationType) -> float | None:
    if type.name in FLOATS:
        return 0.0
    if type.name not in (SYMMETRIC | ASYMMETRIC):
        return None
    size, steps = (SYMMETRIC | ASYMMETRIC)[type.name]
    blocks = _sample(header, tensor, type).reshape(-1, size)
    if type.name in SYMMETRIC:
        step = np.abs(blocks).max(1) / steps
    else:
        step = (blocks.max(1) - blocks.min(1)) / steps
    power = float(np.square(blocks).mean())
    return math.sqrt(float(np.square(step).mean()) / 12 / power) if power else 0.0


def _sample(header: Header, tensor: Tensor, type: GGMLQuantizationType) -> np.ndarray:
    """Rows of a tensor, evenly spaced, as weights."""
    from gguf import dequantize

    rows = tensor.count // tensor.shape[-1]
    stored = np.memmap(header.file, np.uint8, "r", tensor.start, (rows, tensor.bytes // rows))
    every = max(1, tensor.count // SAMPLE)
    return dequantize(np.ascontiguousarray(stored[::every]), type).astype(np.float64)
