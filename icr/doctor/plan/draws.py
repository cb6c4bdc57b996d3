"""Time that drawing tokens takes: of a large vocabulary, as much as the model itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

from icr.doctor.plan.hardware import Device, quickest
from icr.sampling.drawing import draw

LOGITS = 2**21
"""That are drawn from at once when it is timed, so that what a call takes by itself does not count."""
PASSES = 12
"""Times that float32 logits are read or written on a device that is not at hand."""
SPREAD = 5.0
"""Standard deviation of the logits that are drawn from: as with a language model, few tokens have most of the mass."""


@dataclass(frozen=True)
class Draws:
    """Tokens that are drawn.

    Attributes:
        tokens: how many.
        vocabulary: of how many each is drawn.
        temperature, top_p, top_k: how, as `icr.sampling.drawing.draw` takes them.
    """

    tokens: float
    vocabulary: int
    temperature: float
    top_p: float
    top_k: int | None

    def seconds(self, device: Device, bandwidth: float) -> float:
        """Seconds on one device: timed where it is here, and by the bytes that pass at `bandwidth` elsewhere."""
        if device.here:
            return self.tokens * _measured(device.here, self.vocabulary, self.temperature, self.top_p, self.top_k)
        return self.tokens * self.vocabulary * PASSES * torch.float32.itemsize / bandwidth


@cache
def _measured(here: str, vocabulary: int, temperature: float, top_p: float, top_k: int | None) -> float:
    """Seconds of one token's draw, in a batch."""
    rows = max(1, LOGITS // vocabulary)
    numbers = torch.Generator(here).manual_seed(0)
    logits = SPREAD * torch.randn(rows, vocabulary, generator=numbers, device=here)
    uniform = torch.rand(rows, generator=numbers, device=here)
    return quickest(lambda: draw(logits, uniform, temperature, top_p, top_k)) / rows
