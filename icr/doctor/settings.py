"""The keys of `doctor` in `conf/doctor.yaml`, which documents them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from icr.doctor.plan.hardware import DEVICES, THIS

UTILISATION = ("prefill", "decoding", "scoring", "training")


@dataclass(frozen=True)
class DoctorSettings:
    """What is examined, and what a plan has to assume."""

    only: str | None
    json: str | None
    samples: int
    sample_tokens: int
    prompts: int
    prompt_tokens: int
    response_tokens: int | None
    pairs: float
    devices: list[str]
    utilisation: Mapping[str, float]
    layer_seconds: float
    """A layer's share of a decoding step that no hardware shortens: Python and kernel launches."""

    def __post_init__(self) -> None:
        if self.only not in (None, "check", "plan"):
            raise ValueError(f"only must be check, plan or null, got {self.only!r}")
        for name in ("samples", "sample_tokens", "prompts", "prompt_tokens", "response_tokens"):
            if (value := vars(self)[name]) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 < self.pairs <= 1:
            raise ValueError(f"pairs must be above 0 and at most 1, got {self.pairs}")
        known = [*DEVICES, THIS]
        for name in self.devices:
            if name not in known:
                raise ValueError(f"devices must be among {', '.join(known)}, got {name!r}")
        if set(self.utilisation) != set(UTILISATION) or not all(0 < share <= 1 for share in self.utilisation.values()):
            raise ValueError(f"utilisation must give each of {', '.join(UTILISATION)} a share above 0 and at most 1")
        if self.layer_seconds < 0:
            raise ValueError(f"layer_seconds must be at least 0, got {self.layer_seconds}")

    def mean_response(self, limit: int) -> int:
        """Expected mean tokens of a response, where at most `limit` tokens are sampled."""
        return min(limit, self.response_tokens or max(1, limit // 4))
