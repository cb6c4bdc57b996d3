"""Float32 matrix products of wide models by oneDNN instead of MKL: as exact, and twice as fast on AMD's processors."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PretrainedConfig, PreTrainedModel

from icr.logps.family import stated

log = logging.getLogger(__name__)

WIDE = 2**23
"""Weights of a head, vocabulary times channels, from which on a model is wide. Smaller ones gain little, and keep the
last bits of the numbers that they have always had."""

QUICK = "medium"
"""torch's name of the precision at which oneDNN has the float32 products."""
HEIGHTS, CHANNELS, COLUMNS = (8, 512), 512, 1024
"""Of the products that are tried."""
OFF = 1e-5
"""Relative error that is allowed them. Sums in float32 make 4e-7 of it, factors rounded to bfloat16 0.003."""


@contextmanager
def quick_products(model: PreTrainedModel) -> Iterator[None]:
    """Within it, float32 products on a CPU are oneDNN's, if the model is wide and they are exact on this processor.

    torch leaves float32 products to oneDNN where their factors may be rounded to bfloat16 (the precision `medium`).
    oneDNN rounds on processors alone that have matrix units for it (AMX), and else sums up in float32. Whether it
    rounds is tried once.
    """
    if model.device.type != "cpu" or not is_wide(model.config) or not _exact():
        yield
        return
    with _precision(QUICK):
        yield


@contextmanager
def own_products(device: torch.device) -> Iterator[None]:
    """Within it, products are torch's own choice again, also inside `quick_products`.

    For those whose shapes hardly come twice, as attention's in sampling, which grow with every token: oneDNN would
    compile code for each shape and keep it, a hundred megabytes in a hundred tokens.
    """
    if device.type != "cpu" or torch.get_float32_matmul_precision() != QUICK:
        yield
        return
    with _precision("highest"):
        yield


def is_wide(config: PretrainedConfig) -> bool:
    """Whether the head of such a model has `WIDE` weights or more."""
    config = config.get_text_config()
    return int((stated(config, "vocab_size") or 0) * (stated(config, "hidden_size") or 0)) >= WIDE


@contextmanager
def _precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@functools.cache
def _exact() -> bool:
    """Whether `medium` products are float32's on this processor: few rows and many, and each gradient's product."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(COLUMNS, CHANNELS, generator=generator)
    with torch.no_grad(), torch.autocast("cpu", enabled=False), _precision(QUICK):
        for height in HEIGHTS:
            hidden = torch.randn(height, CHANNELS, generator=generator)
            logits = torch.randn(height, COLUMNS, generator=generator)
            for left, right in ((hidden, weight.T), (logits, weight), (logits.T, hidden)):
                exact = left.double() @ right.double()
                if not float((left @ right - exact).norm()) <= OFF * float(exact.norm()):
                    log.info("oneDNN rounds float32 products on this processor: they stay with torch's own choice")
                    return False
    return True
