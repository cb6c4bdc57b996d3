"""What a loss refuses: hyper-parameters out of range, shapes that differ, a batch that lacks its reference."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from icr.types import ReferenceLogps


def require_number(name: str, value: Any) -> None:
    """Raises ValueError, `name` first, unless `value` is a finite real number (a bool is not one)."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")


def require_positive(name: str, value: Any) -> None:
    """Raises ValueError, `name` first, unless `value` is a finite number above 0."""
    require_number(name, value)
    if value <= 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")


def require_at_least(name: str, value: Any, low: float, *, below: float | None = None) -> None:
    """Raises ValueError, `name` first, unless `value` is a finite number in `[low, below)`."""
    require_number(name, value)
    if value < low or (below is not None and value >= below):
        upper = "" if below is None else f" and below {below}"
        raise ValueError(f"{name} must be at least {low}{upper}, got {value!r}")


def require_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raises ValueError, `name` first, unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def require_same_shape(**tensors: torch.Tensor) -> None:
    """Raises ValueError, with every name and shape, unless all the tensors have one shape `[B]`."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ValueError(f"log-probs must have one shape [B], got {listed}")


def require_reference(objective: str, reference: ReferenceLogps | None) -> ReferenceLogps:
    """The reference's log-probs; raises ValueError where a batch came without them."""
    if reference is None:
        raise ValueError(f"{objective} needs the reference's log-probs, and this batch has none")
    return reference
