"""Tokens and operations of a run's phases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from icr.config import Settings
from icr.doctor.plan.draws import Draws
from icr.doctor.plan.flops import Cost, cost
from icr.doctor.plan.memory import Memory, MemoryPlan, weight_bytes
from icr.doctor.plan.phases import Decoding, Phase
from icr.doctor.plan.workload import Workload
from icr.doctor.settings import DoctorSettings
from icr.doctor.setup import Setup
from icr.logps.layout import MAX_ROW

CACHE_COPIES = 3
"""Times that a cache without pages is passed over in a step: read by attention, and copied to add a token."""


@dataclass
class Counts:
    """Tokens and operations of one round, by phase."""

    settings: Settings
    doctor: DoctorSettings
    setup: Setup
    work: Workload
    memory: MemoryPlan

    def __post_init__(self) -> None:
        self.cost: Cost = cost(self.setup.rehearsal(self.memory.policy, trains=False).model, self.memory.policy.config)
        self.n = self.settings.sampling.n
        self.mean = self.work.mean_response
        self.sampled = self.work.count * self.n * self.mean if self.settings.samples else 0
        self.pairs = self.work.count * (self.doctor.pairs if self.settings.samples else 1)

    def phases(self, memory: Mapping[str, Memory]) -> list[Phase]:
        """Those that take memory, in the same order, and beside sampling what the reward prompt samples."""
        counters = {
            "sampling": self._responses,
            "scoring": self._scoring,
            "reference": self._reference,
            "training": self._training,
            "evaluation": self._evaluation,
        }
        phases = []
        for name, held in memory.items():
            phases.append(counters[name](held))
            if name == "sampling" and self.settings.reward_prompt.samples:
                phases.append(self._translation(held))
        return phases

    def _responses(self, memory: Memory) -> Phase:
        return self.sampling_of("sampling", self.work.prompts, self.n, memory)

    def _translation(self, memory: Memory) -> Phase:
        requests = np.repeat(self.work.prompts.mean() + self.mean, self.work.count * self.n)
        return self.sampling_of("translation", requests, 1, memory)

    def scoring_of(self, name: str, tokens: float, flops: float, memory: Memory) -> Phase:
        """A phase in which both models of the reward pair make the same passes."""
        return Phase(name, 2 * tokens, 2 * flops, memory, self.setup.loader_dtype)

    def sampling_of(self, name: str, prompts: np.ndarray, n: int, memory: Memory) -> Phase:
        """A phase in which the policy gives `n` responses to prompts of these lengths."""
        count = len(prompts)
        read, made = float(prompts.sum()), count * n * self.mean
        flops = self.cost.forward(read, count, float((prompts**2).sum()))
        width = float(prompts.mean()) + self.mean / 2
        flops += self.cost.forward(made, made, made * width)
        copies = 1 if self.setup.engine else CACHE_COPIES
        decoding = Decoding(
            steps=self._steps(count, n, float(prompts.mean())),
            weights=weight_bytes(self.memory.trained.model, self.setup.quantisation),
            cache=made * width * self.cost.cache * copies,
            layers=0 if self.setup.engine else self.memory.policy.config.get_text_config().num_hidden_layers,
            draws=None if self.setup.engine else self._draws(made),
        )
        return Phase(name, read + made, flops, memory, self.setup.loader_dtype, decoding)

    def _draws(self, tokens: float) -> Draws:
        sampler, vocabulary = self.settings.sampling, self.memory.policy.config.get_text_config().vocab_size
        return Draws(tokens, vocabulary, sampler.temperature, sampler.top_p, sampler.top_k)

    def _steps(self, prompts: int, n: int, mean_prompt: float) -> float:
        """A batch goes on until its longest row ends: of `R` rows of exponential length, `mean · H_R`."""
        sampler = self.settings.sampling
        at_a_time = sampler.at_a_time(mean_prompt, n)
        if self.setup.engine:
            return prompts * n * self.mean / at_a_time
        rows = min(at_a_time, prompts * n)
        longest = self.mean * (math.log(rows) + 0.5772)
        return math.ceil(prompts * n / rows) * min(sampler.max_new_tokens, max(self.mean, longest))

    def _scoring(self, memory: Memory) -> Phase:
        tokens, flops = self.rows(self.work.rewards, self.n, self.memory.scorer.shares_prompts)
        return self.scoring_of("scoring", tokens, flops, memory)

    def _reference(self, memory: Memory) -> Phase:
        tokens, flops = self._on_pairs()
        if self.settings.loss.needs_partner:
            partners, more = self._on_pairs()
            tokens, flops = tokens + partners, flops + more
        return Phase("reference", tokens, flops, memory, self.setup.training_dtype)

    def _training(self, memory: Memory) -> Phase:
        settings = self.settings.trainer
        seen = settings.max_steps * settings.global_batch_size if settings.max_steps else settings.epochs * self.pairs
        tokens, forward = self._on_pairs()
        share = seen / max(1, self.pairs)
        # Forward, and in the backward pass as much for the inputs and as much for the weights that are trained.
        passes = (2 if self.settings.adapter else 3) + self.setup.checkpointing
        passes += self.settings.loss.needs_partner
        return Phase("training", tokens * share, passes * forward * share, memory, self.setup.training_dtype)

    def _evaluation(self, memory: Memory) -> Phase:
        evaluation = self.settings.evaluation
        assert evaluation is not None  # Or it would take no memory.
        given = evaluation.prompts.prompts(self.settings.langs.codes, evaluation.split).prompts
        prompts = np.full(len(given), self.work.prompts.mean())
        return self.sampling_of("evaluation", prompts, evaluation.n, memory)

    def _on_pairs(self) -> tuple[float, float]:
        answers = 2 if self.settings.loss.needs_rejected else 1
        tokens, flops = self.rows(self.work.prompts, answers, self.memory.trained.shares_prompts)
        share = self.pairs / self.work.count
        return tokens * share, flops * share

    def rows(self, prompts: np.ndarray, answers: int, share: bool) -> tuple[float, float]:
        """Tokens and FLOPs of a forward pass over each prompt with its answers, as many in a row as it takes."""
        together = np.clip((MAX_ROW - prompts) // self.mean, 1, answers) if share else np.ones_like(prompts)
        rows = answers / together
        tokens = float((rows * prompts).sum()) + len(prompts) * answers * self.mean
        squares = float((rows * (prompts + together * self.mean) ** 2).sum())
        return tokens, self.cost.forward(tokens, len(prompts) * answers * self.mean, squares)
