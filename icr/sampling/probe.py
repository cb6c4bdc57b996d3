"""Whether an engine holds the weights that it is asked to sample from: seen in its log-probs, never assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icr.errors import RunError
from icr.logps import score
from icr.models.loading import LoadedModel

PROMPTS, TOKENS = 4, 256
"""How many prompts are compared, and how many tokens of each at most."""


@dataclass(frozen=True)
class Probe:
    """Prompts, and the policy's log-probs of their tokens, computed in process.

    Attributes:
        path: the policy's folder or hub name.
        prompts: token ids.
        expected: log-prob of each token but the first of each prompt, float32, nats.
        tolerance: mean absolute difference per token that is allowed, in nats.
    """

    path: str
    prompts: list[list[int]]
    expected: list[np.ndarray]
    tolerance: float

    @classmethod
    def of(cls, policy: LoadedModel, prompt_ids: Sequence[list[int]], tolerance: float) -> Probe:
        """A probe by the first of these prompts."""
        prompts = [ids[:TOKENS] for ids in prompt_ids if len(ids) > 1][:PROMPTS]
        expected = score(policy.model, [(ids[:1], ids[1:]) for ids in prompts], tokens_per_batch=TOKENS)
        return cls(policy.path, prompts, expected, tolerance)

    def check(self, got: Sequence[Sequence[float]], where: str) -> None:
        """Compare with an engine's log-probs.

        Args:
            where: names the engine in the message.

        Raises:
            RunError: they differ by more than the tolerance, or are not about the same tokens.
        """
        if [len(ours) for ours in self.expected] != [len(theirs) for theirs in got]:
            raise RunError(f"{where} did not give the log-prob of each prompt token, so that its weights are unknown.")
        difference = np.abs(np.concatenate(self.expected) - np.concatenate([np.asarray(row) for row in got])).mean()
        if not difference <= self.tolerance:
            raise RunError(
                f"{where} does not hold the weights of {self.path}: its log-probs of {sum(map(len, got))} prompt "
                f"tokens differ from the policy's by {difference:.2g} nats per token on average, where "
                f"sampling.tolerance={self.tolerance:g} is allowed. Let it compute in the policy's dtype, or "
                f"name its own with sampling.dtype; for 4-bit weights give it bitsandbytes' quantisation; raise the "
                f"tolerance only if you know why they differ."
            )
