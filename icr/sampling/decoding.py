"""What every sampler has: the settings of decoding, and responses made of sampled token ids."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Protocol

from icr.checks import require_counts, require_number
from icr.errors import ConfigError, near
from icr.models.loading import LoadedModel
from icr.types import Prompt, Response

OnBatch = Callable[[int], object]


Seed = tuple[object, ...]
"""Printable parts that set one use of a sampler apart, such as `(run seed, round)`."""


class Sampler(Protocol):
    """Samples responses from a policy. Config group `sampling`.

    Attributes:
        n: responses per prompt, `K`.
        temperature, top_p, top_k: how a token is drawn, as `Decoding` has it.
        max_new_tokens: tokens of a response at most.
        prompts_per_part: prompts sampled between two saves.
        tokens_per_batch: cached tokens at a time, where it samples in this process, with the policy as it is in memory;
            None where an engine beside it does.
    """

    @property
    def n(self) -> int: ...

    @property
    def temperature(self) -> float: ...

    @property
    def top_p(self) -> float: ...

    @property
    def top_k(self) -> int | None: ...

    @property
    def max_new_tokens(self) -> int: ...

    @property
    def prompts_per_part(self) -> int: ...

    @property
    def tokens_per_batch(self) -> int | None: ...

    def at_a_time(self, prompt_tokens: float, n: int) -> int:
        """Responses that are sampled together.

        Args:
            prompt_tokens: of each prompt.
            n: responses per prompt.
        """

    def require(self) -> None:
        """Refuse a machine that lacks what this sampler needs, before a model is loaded."""

    def sample(
        self, policy: LoadedModel, prompts: Sequence[Prompt], seed: Seed, on_batch: OnBatch = lambda done: None
    ) -> list[Response]:
        """Responses to each prompt, `K` after `K`, in the order given.

        Args:
            on_batch: called with the number of prompts finished since the last call (for progress bars).
        """

    def release(self) -> None:
        """Free what was started for sampling, before the training that follows."""


@dataclass(frozen=True)
class Decoding:
    """How tokens are drawn. What the samplers of config group `sampling` have in common."""

    n: int = 10
    """Responses per prompt, K."""
    temperature: float = 0.9
    """Divides the logits; 0 is greedy."""
    top_p: float = 1.0
    """Nucleus truncation; 1 is off."""
    top_k: int | None = None
    """Top-k truncation; None is off."""
    max_new_tokens: int = 2400
    """A response cut here has no end-of-turn token and the finish reason `length`."""

    def __post_init__(self) -> None:
        require_counts(self, "n", "max_new_tokens")
        require_number("temperature", self.temperature, least=0)
        require_number("top_p", self.top_p, above=0, most=1)
        if self.top_k is not None:
            require_counts(self, "top_k", otherwise="or null")

    def require(self) -> None:
        """Do nothing: any machine will do."""

    def release(self) -> None:
        """Do nothing: nothing was started."""


def with_settings(sampler: Sampler, settings: Mapping[str, object]) -> Sampler:
    """A sampler that decodes otherwise.

    Raises:
        ConfigError: it is no dataclass, so that nothing of it can be set; or it has no such setting or value.
    """
    if not is_dataclass(sampler) or isinstance(sampler, type):
        raise ConfigError(
            f"sampling: {type(sampler).__name__} must be a dataclass, so that {', '.join(settings)} can be set."
        )
    known = [field.name for field in fields(sampler) if field.init]
    if unknown := next((name for name in settings if name not in known), None):
        raise ConfigError(f"sampling.{unknown} is not a setting of {type(sampler).__name__}.{near(unknown, known)}")
    try:
        return replace(sampler, **settings)
    except ValueError as error:
        raise ConfigError(f"sampling: {error}.") from error


def response(policy: LoadedModel, prompt: Prompt, prompt_ids: list[int], k: int, ids: list[int]) -> Response:
    """Sample `k` of `prompt`; it ended by itself if its last token is a stop id."""
    reason = "stop" if ids[-1] in policy.renderer.stop_ids else "length"
    return Response(prompt.id, prompt.language, k, prompt_ids, ids, policy.renderer.text(ids), reason)


def digest(key: Seed) -> bytes:
    """32 bytes that a key of printable parts alone decides: where random numbers come from."""
    return hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
