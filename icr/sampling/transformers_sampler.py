"""Sampling in process, with the policy as it is in memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import ClassVar

import numpy as np
import torch

from icr.checks import require_counts
from icr.models.loading import LoadedModel
from icr.sampling.decode import decode
from icr.sampling.decoding import Decoding, OnBatch, Seed, digest, response
from icr.types import Prompt, Response

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransformersSampler(Decoding):
    """`K` seeded responses per prompt from a transformers model. Config group `sampling`."""

    prompts_per_part: ClassVar[int] = 64

    tokens_per_batch: int = field(default=65536, compare=False)
    """Cached tokens at a time: rows times (prompt + max_new_tokens). Halved, and said so, when memory runs out; where
    one prompt alone is too much, its `n` responses are sampled in several passes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "tokens_per_batch")

    def at_a_time(self, prompt_tokens: float, n: int) -> int:
        """Responses to as many prompts of a part as the budget holds, at least to one."""
        return n * min(self.prompts_per_part, self._prompts(self.tokens_per_batch, prompt_tokens, n))

    def sample(
        self,
        policy: LoadedModel,
        prompts: Sequence[Prompt],
        seed: Seed,
        on_batch: OnBatch = lambda done: None,
    ) -> list[Response]:
        """Responses to each prompt, `K` after `K`, in the order given.

        A response depends on the weights, its prompt, the settings and `(seed, language, id, k)` alone.

        Args:
            on_batch: called with the number of prompts that each batch has finished (for progress bars).
        """
        prompt_ids = [policy.renderer.prompt_ids(prompt.text, prompt.earlier) for prompt in prompts]
        pending = sorted(range(len(prompts)), key=lambda i: (-len(prompt_ids[i]), i))
        sampled: dict[int, list[list[int]]] = {}
        budget, rows = self.tokens_per_batch, self.n
        was_training = policy.model.training
        policy.model.eval()
        try:
            while pending:
                count = self._prompts(budget, len(prompt_ids[pending[0]]), self.n)
                batch, rest = pending[:count], pending[count:]
                try:
                    ids = [prompt_ids[i] for i in batch]
                    answers = self._decode(policy, ids, [prompts[i] for i in batch], seed, rows)
                except torch.OutOfMemoryError:
                    torch.cuda.empty_cache()
                    if len(batch) > 1:
                        budget //= 2
                        log.warning("out of memory: the token budget of sampling is halved to %d", budget)
                    elif rows > 1:
                        rows = -(-rows // 2)
                        log.warning("out of memory: at most %d of sampling.n=%d at a time now", rows, self.n)
                    else:
                        raise
                    continue
                sampled.update(zip(batch, answers, strict=True))
                on_batch(len(batch))
                pending = rest
        finally:
            policy.model.train(was_training)
        return [
            response(policy, prompt, prompt_ids[i], k, ids)
            for i, prompt in enumerate(prompts)
            for k, ids in enumerate(sampled[i])
        ]

    def _prompts(self, budget: int, prompt_tokens: float, n: int) -> int:
        return max(1, int(budget // (n * (prompt_tokens + self.max_new_tokens))))

    def _decode(
        self, policy: LoadedModel, ids: list[list[int]], prompts: list[Prompt], seed: Seed, rows: int
    ) -> list[list[list[int]]]:
        """`K` responses to each prompt, `rows` of them in a pass: what is in a pass changes none of its tokens."""
        uniforms = np.stack(
            [[_uniforms((*seed, p.language, p.id, k), self.max_new_tokens) for k in range(self.n)] for p in prompts]
        )
        passes = [
            decode(
                policy.model,
                ids,
                uniforms[:, start : start + rows],
                stop_ids=policy.renderer.stop_ids,
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
            )
            for start in range(0, self.n, rows)
        ]
        return [list(chain.from_iterable(parts)) for parts in zip(*passes, strict=True)]


def _uniforms(key: Seed, count: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest(key)[:16], "little"))).random(count)
