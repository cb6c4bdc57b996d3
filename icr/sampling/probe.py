"""Whether an engine holds the weights that it is asked to sample from: seen in its log-probs, never assumed."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from icr.errors import RunError
from icr.logps import score
from icr.models import adapters
from icr.models.folder import base_of
from icr.models.loading import LoadedModel
from icr.sampling.rivals import Rival, compare

log = logging.getLogger(__name__)

PROMPTS, TOKENS = 16, 256
"""How many prompts are compared, and how many tokens of each at most."""


@dataclass(frozen=True)
class Probe:
    """Prompts, and the policy's log-probs of their tokens, computed in process.

    Two rounds' policies may differ by less than an engine's arithmetic does, so that a tolerance alone passes either.
    The engine's log-probs are therefore compared with those of the policies that it could hold instead, too.

    Attributes:
        path: the policy's folder or hub name.
        prompts: token ids.
        expected: log-prob of each token but the first of each prompt, float32, nats.
        tolerance: mean absolute difference per token that is allowed, in nats.
        base: the same as `expected` of the model under the policy's adapter; None where there is none at hand.
        earlier: probes of the policies that this process has sampled from, by the same prompts.
        answered: each engine's log-probs, one after the other, when it was last seen to hold the policy.
        said: of which engines it was said that they could not be told apart.
    """

    path: str
    prompts: list[list[int]]
    expected: list[np.ndarray]
    tolerance: float
    base: list[np.ndarray] | None = None
    earlier: tuple[Probe, ...] = ()
    answered: dict[str, np.ndarray] = field(default_factory=dict)
    said: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(
        cls, policy: LoadedModel, prompt_ids: Sequence[list[int]], tolerance: float, earlier: Sequence[Probe] = ()
    ) -> Probe:
        """A probe by the first of these prompts, or by those of the probes before it, to be compared with them."""
        prompts = [ids[:TOKENS] for ids in prompt_ids if len(ids) > 1][:PROMPTS]
        tokens = vocabulary(policy)
        others = [probe for probe in earlier if probe.path != policy.path and max(map(max, probe.prompts)) < tokens]
        if others:
            prompts = others[-1].prompts
        pairs = [(ids[:1], ids[1:]) for ids in prompts]
        expected = score(policy.model, pairs, tokens_per_batch=TOKENS)
        base = None
        if policy.base and base_of(policy.path):
            adapters.switch(policy.model, on=False)
            try:
                base = score(policy.model, pairs, tokens_per_batch=TOKENS)
            finally:
                adapters.switch(policy.model, on=True)
        alike = tuple(replace(probe, earlier=()) for probe in others if probe.prompts == prompts)
        return cls(policy.path, prompts, expected, tolerance, base, alike)

    def check(
        self,
        got: Sequence[object],
        where: str,
        *,
        base: Sequence[object] | None = None,
        before: Sequence[object] | None = None,
        told: bool = True,
    ) -> None:
        """Compare with an engine's log-probs: with the policy's own, then with those of what it could hold instead.

        Args:
            got: of each prompt a list, as JSON gave them.
            where: names the engine in messages.
            base: its log-probs by the model under the adapter, where the policy is one.
            before: its log-probs before it was told to load the policy, by whatever it held then.
            told: whether it was told to load the policy's weights, and said that it has.

        Raises:
            RunError: they differ by more than the tolerance, or are not about the same tokens; or they are those of
                other weights that the engine could hold, or could be and nothing else speaks for the policy's.
        """
        ours, theirs = np.concatenate(self.expected), self._numbers(got, where)
        with np.errstate(over="ignore"):
            difference = float(np.abs(ours - theirs).mean())
        if not difference <= self.tolerance:
            raise RunError(
                f"{where} does not hold the weights of {self.path}: its log-probs of {len(theirs)} prompt tokens "
                f"differ from the policy's by {difference:.2g} nats per token on average, where "
                f"sampling.tolerance={self.tolerance:g} is allowed. Let it compute in the policy's dtype, or name its "
                f"own with sampling.dtype; for 4-bit weights give it bitsandbytes' quantisation; raise the tolerance "
                f"only if you know why they differ."
            )
        for rival in self._rivals(where, base, before):
            doubt = compare(theirs, ours, rival, self.path, where, self.tolerance)
            if doubt and not told:
                raise RunError(f"{doubt} Nobody told it to load the policy: start it again, on {self.path}.")
            if doubt and (where, rival.name) not in self.said:
                self.said.add((where, rival.name))
                log.warning("%s It was told to load the policy and said that it has, so the run goes on.", doubt)
        self.answered[where] = theirs

    def _rivals(self, where: str, base: Sequence[object] | None, before: Sequence[object] | None) -> Iterator[Rival]:
        for probe in self.earlier:
            yield Rival(probe.path, np.concatenate(probe.expected), probe.answered.get(where))
        if base is not None:
            expected = None if self.base is None else np.concatenate(self.base)
            yield Rival("the model under its adapter", expected, self._numbers(base, where))
        # What is known by name says more than what nobody knows the name of.
        known = any(where in probe.answered for probe in (self, *self.earlier))
        if before is not None and not known:
            yield Rival("what it held before", None, self._numbers(before, where))

    def _numbers(self, rows: Sequence[object], where: str) -> np.ndarray:
        wanted = [len(values) for values in self.expected]
        values = [value for row in rows if isinstance(row, list) for value in row]
        lengths = [len(row) for row in rows if isinstance(row, list)]
        if lengths == wanted and all(type(value) in (int, float) for value in values):
            with contextlib.suppress(OverflowError):
                return np.asarray(values, dtype=np.float64)
        raise RunError(f"{where} did not give the log-prob of each prompt token, so that its weights are unknown.")


def vocabulary(policy: LoadedModel) -> int:
    """Number of token ids that the policy has an embedding for."""
    rows: int = policy.model.get_input_embeddings().get_parameter("weight").shape[0]
    return rows
