"""What a training computes in, and its training reference with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from icr.models.dtypes import torch_dtype


@dataclass(frozen=True)
class Arithmetic:
    """Dtypes of weights and products: policy and training reference share them, so that they are one function.

    Attributes:
        weights: dtype that weights are rounded to before the training; None leaves them as they are loaded.
        products: dtype of products under `torch.autocast`; None without.
    """

    weights: str | None = None
    products: str | None = None

    def prepare(self, model: PreTrainedModel) -> None:
        """Round the weights, in place.

        Buffers stay as they are: no model folder holds those that matter, such as the frequencies of positions, and who
        loads the folder has them in full.
        """
        if self.weights:
            dtype = torch_dtype(self.weights)
            for parameter in model.parameters():
                if parameter.is_floating_point():
                    parameter.data = parameter.data.to(dtype)

    @contextmanager
    def scoring(self, device: torch.device) -> Iterator[None]:
        """Within it, log-probs are computed as they are in training, without gradient."""
        dtype = torch_dtype(self.products) if self.products else None
        with torch.no_grad(), torch.autocast(device.type, dtype, enabled=dtype is not None, cache_enabled=False):
            yield
