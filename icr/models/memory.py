"""Making room on the device."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from icr.errors import ModelError


@contextmanager
def offloaded(model: PreTrainedModel) -> Iterator[None]:
    """The model's weights on the CPU meanwhile, and back on their device afterwards; nothing for a model on the CPU.

    Parameters stay the objects that they were, so that an optimiser made of them goes on.
    """
    device = model.device
    if device.type == "cpu":
        yield
        return
    move(model, "cpu")
    torch.cuda.empty_cache()
    try:
        yield
    finally:
        move(model, device)


def move(module: torch.nn.Module, device: torch.device | str) -> None:
    """Put a model's weights on `device`, in place."""
    module.to(device)


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Keep only the input of each layer for the backward pass, which computes the rest again: memory for time.

    Raises:
        ModelError: transformers cannot do so for this family.
    """
    # The name from transformers 5.20 or so; the older one warns from then on.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": False})
    except ValueError as error:
        raise ModelError(f"trainer.gradient_checkpointing: {error}") from error


def reclaim() -> None:
    """Give back the memory of what is out of use, of which the next model may need all.

    Trainers, modules and optimisers refer to each other in cycles, which Python would take apart some time later.
    """
    gc.collect()
    torch.cuda.empty_cache()


def discard(model: PreTrainedModel) -> None:
    """Give the weights' memory back at once, whoever still holds the model, which is of no use from here on."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.new_empty(0)
    torch.cuda.empty_cache()
