"""What a loss refuses of a batch: shapes that differ, and the lack of its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from icr.types import ReferenceLogps


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
