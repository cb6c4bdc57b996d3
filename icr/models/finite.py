"""Weights that hold NaN or infinity."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel


def not_finite(model: PreTrainedModel) -> list[str]:
    """Names of such parameters. Their extremes tell, a NaN among them; `isfinite` would make copies of each."""
    return [name for name, values in model.named_parameters() if values.numel() and not _bounded(values)]


def _bounded(values: torch.Tensor) -> bool:
    return all(bool(torch.isfinite(extreme)) for extreme in values.detach().aminmax())
