"""Learning-rate schedules as a factor of the peak rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from icr.checks import require_either, require_number


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then `constant`, `linear` or `cosine` decay to zero. Config `optim.schedule`, `warmup_ratio`."""

    name: str = "constant"
    warmup_ratio: float = 0.0

    def __post_init__(self) -> None:
        require_either("schedule", self.name, "constant", "linear", "cosine")
        require_number("warmup_ratio", self.warmup_ratio, least=0, below=1)

    def factor(self, step: int, steps: int | None) -> float:
        """Factor at 0-based optimiser step `step` of `steps` (None while the round's data is still to come: step 0)."""
        if step == 0 or not steps:
            return float(self.warmup_ratio == 0)
        warmup = round(self.warmup_ratio * steps)
        if step < warmup:
            return step / warmup
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        decay = {"constant": 1.0, "linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}
        return decay[self.name]
