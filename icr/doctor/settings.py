"""The keys of `doctor` in `conf/doctor.yaml`, which documents them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from icr.checks import require_counts, require_either, require_number, require_one_of
from icr.doctor.plan.hardware import DEVICES, THIS

UTILISATION = ("prefill", "decoding", "scoring", "training")


@dataclass(frozen=True)
class DoctorSettings:
    """What is examined, and what a plan has to assume."""

    only: str | None
    json: str | None
    page: str | None
    labelled: str | None
    labelled_rows: int | None
    own_prompts: int
    own_responses: int
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
        if self.only is not None:
            require_either("only", self.only, "check", "plan", "diagnose", "null")
        if self.labelled_rows is not None:
            require_counts(self, "labelled_rows", otherwise="or null")
        require_number("own_prompts", self.own_prompts, least=0)
        require_number("own_responses", self.own_responses, least=2)
        require_counts(self, "samples", "sample_tokens", "prompts", "prompt_tokens")
        if self.response_tokens is not None:
            require_counts(self, "response_tokens", otherwise="or null")
        require_number("pairs", self.pairs, above=0, most=1)
        for name in self.devices:
            require_one_of("devices", name, [*DEVICES, THIS])
        if set(self.utilisation) != set(UTILISATION) or not all(0 < share <= 1 for share in self.utilisation.values()):
            raise ValueError(f"utilisation must give each of {', '.join(UTILISATION)} a share above 0 and at most 1")
        require_number("layer_seconds", self.layer_seconds, least=0)

    def mean_response(self, limit: int) -> int:
        """Expected mean tokens of a response, where at most `limit` tokens are sampled."""
        return min(limit, self.response_tokens or max(1, limit // 4))
