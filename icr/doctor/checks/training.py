"""Whether the optimiser's steps are large enough for the weights to hold."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from icr.config import Settings
from icr.doctor.findings import Finding, passed, warned
from icr.doctor.setup import Setup

USUAL = 0.02
"""Standard deviation of a weight, as language models are initialised with and keep."""


def steps(settings: Settings, setup: Setup) -> Iterator[Finding]:
    """Adam's steps are about as large as its learning rate, whatever the gradient: smaller ones are rounded away.

    Says nothing of an adapter, which starts at zero, where every step is held, nor of other optimisers.
    """
    made = setup.optimizer()
    name, step = type(made).__name__, made.defaults["lr"]
    if settings.adapter or "adam" not in name.lower():
        return
    dtype = torch.float32 if setup.keeps_master_weights else setup.policy_dtype
    lost, kind = lost_share(step, dtype), str(dtype).removeprefix("torch.")
    seen = f"of optim.lr={step:g} ({name}), rounded away in {lost:.0%} of {kind} weights of the usual size ({USUAL:g})"
    if lost > 0.5:
        yield warned(
            "steps",
            seen,
            "Train float32 weights and compute in bfloat16 (model.loader.dtype=float32 trainer.precision=bf16-mixed), "
            "or train an adapter (adapter=lora).",
        )
    else:
        yield passed("steps", seen)


def lost_share(step: float, dtype: torch.dtype) -> float:
    """Share of weights, normal with standard deviation `USUAL`, that `step` leaves as they are in `dtype`.

    Weights in `[2^e, 2^{e+1})` lie `eps · 2^e` apart, and half of that is rounded away.
    """
    exponent = math.floor(math.log2(2 * step / torch.finfo(dtype).eps))
    return math.erfc(2 ** (exponent + 1) / (USUAL * math.sqrt(2)))
