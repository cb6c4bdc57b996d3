"""Dtypes by name."""

from __future__ import annotations

import torch


def torch_dtype(name: str, such_as: str = "float32 or bfloat16") -> torch.dtype:
    """torch's floating-point dtype of that name, of those that models are computed in: of two bytes or more.

    Args:
        such_as: examples for the message.

    Raises:
        ValueError: there is none.
    """
    found = vars(torch).get(name)
    if not isinstance(found, torch.dtype) or not found.is_floating_point or found.itemsize < 2:
        raise ValueError(f"dtype must be a torch dtype such as {such_as}, got {name!r}")
    return found
