"""What the weights of a GGUF file have lost before anybody loads them."""

from __future__ import annotations

from collections.abc import Iterator

from icr.doctor.findings import Finding, passed, warned
from icr.models.folder import base_of
from icr.models.gguf import gguf_file
from icr.models.gguf_precision import Stored, precision, together

SMALL = 0.01
"""Relative error of the weights up to which nothing is said: that of 8 bits, and twice bfloat16's largest."""


def stored(path: str, role: str) -> Iterator[Finding]:
    """Types of the tensors, bits per weight, and the estimated error of a model in a GGUF file; nothing of others."""
    weights = base_of(path) or path
    if not gguf_file(weights):
        return
    types = precision(weights)
    whole = together(types)
    name = f"{role}'s precision"
    kinds = "; ".join(f"{kind.type} {kind.weights / whole.weights:.2%}, {_error(kind)}" for kind in types)
    seen = f"{whole.bits:.2f} bits per weight, {_error(whole)} ({kinds}), by the steps of its blocks"
    if whole.error is not None and whole.error <= SMALL:
        yield passed(name, seen)
    else:
        yield warned(
            name,
            seen,
            "The weights before rounding are not in the file, so nothing can say what this has done to log-probs: "
            "trust rewards of a pair only if both come from weights as they were published, or compare them.",
        )


def _error(stored: Stored) -> str:
    if stored.error is None:
        return "error unknown"
    return f"off by {stored.error:.1%}" if stored.error else "as published"
