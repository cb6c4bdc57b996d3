"""Sampling by an engine that holds a copy of the policy's weights elsewhere: what its two kinds have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from icr.checks import require_counts, require_number
from icr.models.dtypes import torch_dtype
from icr.models.loading import LoadedModel
from icr.sampling.answers import Answer, Params, Request
from icr.sampling.decoding import Decoding, OnBatch, Seed, digest, response
from icr.sampling.probe import Probe, vocabulary
from icr.types import Prompt, Response

CONCURRENT = 256
"""Sequences that vLLM decodes at a time, unless it is told otherwise."""
REMEMBERED = 4
"""Policies whose log-probs are kept, for an engine may hold one of them still."""


class Engine(Protocol):
    """Answers requests with the policy's weights, which it was seen to hold."""

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """Index and answer of each request, by `Request.answer`, in the order in which they are finished."""

    def close(self) -> None:
        """Let go of processes and connections, in mid-sampling too."""


@dataclass(frozen=True)
class Held:
    """An engine that was started for a policy, and what ends it."""

    policy: LoadedModel
    engine: Engine
    stack: ExitStack


@dataclass(frozen=True)
class EngineSampler(Decoding):
    """Sends prompts as token ids and takes responses as token ids; the engine's own defaults decide nothing.

    A response depends on the weights, its prompt, the settings and `(seed, language, id, k)`, and, as far as two tokens
    are almost equally likely, on what the engine computes beside it.
    """

    tokens_per_batch: ClassVar[None] = None

    dtype: str | None = None
    """What the engine computes in, such as `bfloat16`; None is the dtype of the policy's weights."""
    tolerance: float | None = field(default=None, compare=False)
    """Mean difference of prompt log-probs, in nats per token, up to which an engine is taken to hold the policy's
    weights; None takes 0.001 where all is in float32, else 0.05."""
    prompts_per_part: int = field(default=256, compare=False)
    """Prompts sampled between two saves: enough to keep an engine busy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "prompts_per_part")
        if self.dtype is not None:
            torch_dtype(self.dtype, "bfloat16, or null")
        if self.tolerance is not None:
            require_number("tolerance", self.tolerance, above=0, otherwise="or null")

    def at_a_time(self, prompt_tokens: float, n: int) -> int:
        """Responses that an engine decodes together, whatever the prompts: when one ends, the next one begins."""
        return CONCURRENT

    def dtype_of(self, policy: LoadedModel) -> str:
        """Name of the dtype that the engine computes in."""
        return self.dtype or str(policy.model.dtype).removeprefix("torch.")

    @abstractmethod
    def started(self, policy: LoadedModel, probe: Probe) -> AbstractContextManager[Engine]:
        """An engine that holds the policy's weights, by its answer to `probe`; ended on leaving."""

    def sample(
        self, policy: LoadedModel, prompts: Sequence[Prompt], seed: Seed, on_batch: OnBatch = lambda done: None
    ) -> list[Response]:
        """Responses to each prompt, `K` after `K`, in the order given. The engine stays until `release`.

        Raises:
            RunError: the engine cannot be started, does not hold the policy's weights, fails, or answers with what the
                policy could not have said.
        """
        if not prompts:
            return []  # The share of one of several processes may be nothing.
        prompt_ids = [policy.renderer.prompt_ids(prompt.text, prompt.earlier) for prompt in prompts]
        keys = [(*seed, prompt.language, prompt.id) for prompt in prompts]
        tokens = vocabulary(policy)
        requests = [
            Request(ids, self._params(policy, key), tokens, f"{prompt.id} ({prompt.language})")
            for ids, key, prompt in zip(prompt_ids, keys, prompts, strict=True)
        ]
        sampled: dict[int, list[list[int]]] = {}
        for index, answer in self._engine(policy, prompt_ids).generate(requests):
            sampled[index] = [ids for ids, _ in answer]
            if self.temperature == 0:
                sampled[index] *= self.n
            on_batch(1)
        return [
            response(policy, prompt, prompt_ids[i], k, ids)
            for i, prompt in enumerate(prompts)
            for k, ids in enumerate(sampled[i])
        ]

    def release(self) -> None:
        """End the engine, if one was started."""
        if held := self.__dict__.pop("_held", None):
            held.stack.close()

    def _engine(self, policy: LoadedModel, prompt_ids: list[list[int]]) -> Engine:
        held = self.__dict__.get("_held")
        if held is None or held.policy is not policy:
            self.release()
            exact = {"float32", "float64"} >= {self.dtype_of(policy), str(policy.model.dtype).removeprefix("torch.")}
            probes: list[Probe] = self.__dict__.setdefault("_probes", [])
            probe = Probe.of(policy, prompt_ids, self.tolerance or (1e-3 if exact else 0.05), probes)
            stack = ExitStack()
            held = Held(policy, stack.enter_context(self.started(policy, probe)), stack)
            self.__dict__["_held"] = held
            probes[:] = [*(earlier for earlier in probes if earlier.path != policy.path), probe][-REMEMBERED:]
        return held.engine

    def _params(self, policy: LoadedModel, key: Seed) -> Params:
        # vLLM draws response k with seed + k. Greedy responses are equal, and it refuses to make more than one.
        greedy = self.temperature == 0
        return {
            "n": 1 if greedy else self.n,
            "seed": int.from_bytes(digest(key)[:6], "little"),
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k or 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "max_tokens": self.max_new_tokens,
            "stop_token_ids": sorted(policy.renderer.stop_ids),
            "ignore_eos": True,  # The stop ids hold it already; a model folder may name others.
        }
