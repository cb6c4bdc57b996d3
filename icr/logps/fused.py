"""The head through the kernel of cut-cross-entropy, where it is installed: CUDA, half precision.

Wijmans et al. 2025, "Cut Your Losses in Large-Vocabulary Language Models": log-sum-exp and both gradients without a
logit in the GPU's memory.
"""

from __future__ import annotations

import functools
import importlib.util
import logging

import torch

log = logging.getLogger(__name__)

DTYPES = (torch.bfloat16, torch.float16)

TOKENS, CHANNELS, VOCABULARY = 32, 128, 2**17
"""Of the head that the kernel is tried on: what goes wrong in sums over a vocabulary shows in a large one."""
OFF = 0.01
"""Relative error of values and gradients that is allowed. Rounding once to bfloat16 makes 0.002 of it; a gradient that
is summed up in bfloat16 over such a vocabulary is off by 0.04 to 0.06."""

_refused: set[tuple[torch.device, torch.dtype, torch.Size]] = set()


def serves(hidden: torch.Tensor, head: torch.nn.Linear) -> bool:
    """Whether the kernel can take this head, and has been seen to give the tiles' numbers on this device."""
    if not (hidden.is_cuda and hidden.dtype in DTYPES and head.weight.dtype == hidden.dtype and head.bias is None):
        return False
    return (hidden.device, hidden.dtype, head.weight.shape) not in _refused and _works(hidden.device, hidden.dtype)


def refuse(head: torch.nn.Module | None) -> bool:
    """Leave heads like this one to the tiles from now on; gives whether the kernel was serving them."""
    if type(head) is not torch.nn.Linear or not head.weight.is_cuda:
        return False
    kind = head.weight.device, head.weight.dtype, head.weight.shape
    served = kind not in _refused and kind[1] in DTYPES and head.bias is None and _works(*kind[:2])
    _refused.add(kind)
    return served


def fused_logps(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, softcap: float | None
) -> torch.Tensor:
    """Log-prob of each target. Shape `[T]`, float32, nats.

    Args:
        hidden: shape `[T, H]`.
        weight: of the head. Shape `[V, H]`.
        targets: shape `[T]`.
        softcap: `c` of `c·tanh(logit / c)`, or None.
    """
    from cut_cross_entropy import linear_cross_entropy

    # Without the filter that takes gradients below the dtype's resolution for zero, and with sums in float32.
    losses: torch.Tensor = linear_cross_entropy(
        hidden,
        weight,
        targets,
        softcap=softcap,
        reduction="none",
        filter_eps=None,
        accum_e_fp32=True,
        accum_c_fp32=True,
    )
    return -losses.float()


@functools.cache
def _works(device: torch.device, dtype: torch.dtype) -> bool:
    if importlib.util.find_spec("cut_cross_entropy") is None:
        return False
    try:
        agrees = _agrees(device, dtype)
    except torch.OutOfMemoryError:
        raise  # Which says nothing about the kernel, and is not to be remembered.
    except (ImportError, RuntimeError, AssertionError, ValueError, TypeError) as error:
        log.warning("cut-cross-entropy cannot be used on %s (%s): the head runs in tiles", device, error)
        return False
    if not agrees:
        log.warning("cut-cross-entropy gives other numbers on %s than the head in tiles, which is used", device)
    return agrees


def _agrees(device: torch.device, dtype: torch.dtype) -> bool:
    """Values and both gradients against a log-softmax in float32, in whatever mode this is called."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        generator = torch.Generator().manual_seed(0)
        targets = torch.randint(0, VOCABULARY, (TOKENS,), generator=generator).to(device)
        sizes = (TOKENS, CHANNELS), (VOCABULARY, CHANNELS)
        inputs = [(torch.randn(size, generator=generator) / CHANNELS**0.25).to(device, dtype) for size in sizes]
        hidden, weight = (tensor.requires_grad_() for tensor in inputs)
        logps = fused_logps(hidden, weight, targets, None)
        exact = (hidden.float() @ weight.float().T).log_softmax(1).gather(1, targets[:, None]).squeeze(1)
        ours, theirs = ([x.detach(), *torch.autograd.grad(x.sum(), (hidden, weight))] for x in (logps, exact))
    return all(
        float((a.float() - b.float()).norm()) <= OFF * float(b.float().norm())
        for a, b in zip(ours, theirs, strict=True)
    )
