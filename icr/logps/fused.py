"""The head through the kernel of cut-cross-entropy, where that extra is installed: CUDA, half precision.

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


def serves(hidden: torch.Tensor, head: torch.nn.Linear) -> bool:
    """Whether the kernel can take this head, and has been seen to give the tiles' numbers on this device."""
    if not (hidden.is_cuda and hidden.dtype in DTYPES and head.weight.dtype == hidden.dtype and head.bias is None):
        return False
    return _works(hidden.device, hidden.dtype)


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

    # Without the filter that takes gradients below the dtype's resolution for zero.
    losses: torch.Tensor = linear_cross_entropy(
        hidden, weight, targets, softcap=softcap, reduction="none", filter_eps=None
    )
    return -losses.float()


@functools.cache
def _works(device: torch.device, dtype: torch.dtype) -> bool:
    if importlib.util.find_spec("cut_cross_entropy") is None:
        return False
    try:
        agrees = _agrees(device, dtype)
    except (ImportError, RuntimeError, AssertionError, ValueError, TypeError) as error:
        log.warning("cut-cross-entropy cannot be used on %s (%s): the head runs in tiles", device, error)
        return False
    if not agrees:
        log.warning("cut-cross-entropy gives other numbers on %s than the head in tiles, which is used", device)
    return agrees


def _agrees(device: torch.device, dtype: torch.dtype) -> bool:
    """Values and both gradients of a small head against a log-softmax in float32."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 1000, (64,), generator=generator).to(device)
    inputs = [(torch.randn(size, 128, generator=generator) / 128**0.25).to(device, dtype) for size in (64, 1000)]
    hidden, weight = (tensor.requires_grad_() for tensor in inputs)
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        logps = fused_logps(hidden, weight, targets, None)
        exact = (hidden.float() @ weight.float().T).log_softmax(1).gather(1, targets[:, None]).squeeze(1)
        ours, theirs = ([x.detach(), *torch.autograd.grad(x.sum(), (hidden, weight))] for x in (logps, exact))
    return all(
        torch.allclose(a.float(), b.float(), rtol=0, atol=0.02 * float(b.abs().max()))
        for a, b in zip(ours, theirs, strict=True)
    )
