"""Bytes on one device in each phase of a round: what stays (counted) and what a pass holds (rehearsed)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch.optim import Optimizer
from transformers import PreTrainedModel

from icr.config import Settings
from icr.doctor.plan.architecture import Architecture
from icr.doctor.plan.rehearsal import Rehearsal
from icr.doctor.setup import Setup
from icr.logps.layout import MAX_ROW
from icr.logps.scoring import plan

QUANTISED = {True: 0.5 + 1 / 64 + 4 / (64 * 256), False: 0.5 + 4 / 64}
"""Bytes of a 4-bit weight with its scale (a block of 64), by whether the scales are quantised too."""
PROBE = 2**16
"""Elements of the parameter on which an optimiser's states are measured."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device at the peak of a phase.

    Attributes:
        weights: of all models that are there.
        gradients, optimiser: of the training.
        working: activations, caches, logits and whatever else a pass makes.
    """

    weights: float
    gradients: float = 0.0
    optimiser: float = 0.0
    working: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.gradients + self.optimiser + self.working


@dataclass
class MemoryPlan:
    """The phases of a round in memory.

    Attributes:
        settings: of the run.
        setup: how its models are laid out.
        policy: architecture of the model that is trained.
        reference: of the reward pair's other model.
        prompt, reward_prompt: tokens of the longest prompt as it is answered and as it is scored.
    """

    settings: Settings
    setup: Setup
    policy: Architecture
    reference: Architecture
    prompt: int
    reward_prompt: int

    def phases(self) -> dict[str, Memory]:
        """Peak of each phase, for the longest prompt and responses of `max_new_tokens`."""
        phases = {}
        stage = self.settings.stage.name
        if self.setup.samples:
            phases["sampling"] = self.sampling()
        if self.setup.scores:
            phases["scoring"] = self.scoring()
        if self.settings.loss.needs_reference:
            phases["reference"] = self.reference_logps()
        phases["training"] = self.training()
        if self.settings.evaluation and stage != "sft":
            phases["evaluation"] = replace(self.sampling(), weights=self._whole(self.policy))
        return phases

    def sampling(self) -> Memory:
        """The policy, and the cache of a batch of rows that all reach the limit."""
        if self.setup.engine:
            # An engine in a process of its own takes what it is given; the policy is off the device meanwhile.
            return Memory(weights=self._whole(self.policy))
        sampler = self.settings.sampling
        width = self.prompt + sampler.max_new_tokens
        prompts = max(1, sampler.tokens_per_batch // (sampler.n * width))
        working = self._policy.sampling(min(prompts, self.setup.part), self.prompt, sampler.n, sampler.max_new_tokens)
        return Memory(self._policy_weights + self._gathered, working=working)

    def scoring(self) -> Memory:
        """Policy and reward pair, or (residency `one`) one of the pair, and a scoring pass over a full batch."""
        visitors = self._visitors()
        if not self.setup.one_at_a_time:
            weights = self._policy_weights + sum(visitors)
        elif self.setup.accelerator == "cpu":
            weights = self._policy_weights + max(visitors, default=0)
        else:
            weights = max([self._policy_weights, *visitors])
        return Memory(weights, working=self._scoring_pass(self._scorer, self.reward_prompt, self.settings.sampling.n))

    def reference_logps(self) -> Memory:
        """The training reference's log-probs of the pairs: the policy itself, or another model beside it."""
        apart = {"policy": self.policy, "reference": self.reference}.get(self.settings.training_reference)
        other = self._whole(apart) if apart and not (self.setup.adapter and apart.weights == self.policy.weights) else 0
        working = self._scoring_pass(self._scorer if apart else self._policy, self.prompt, 2)
        return Memory(self._policy_weights + self._gathered + other, working=working)

    def training(self) -> Memory:
        """Weights, gradients, optimiser states and the larger of a micro-batch's pass and the optimiser's own work."""
        settings = self.settings.trainer
        model, setup = self._policy.model, self.setup
        trained = [p for p in model.parameters() if p.requires_grad]
        size = sum(p.nbytes for p in trained)
        states = sum(p.numel() * state_bytes(self.settings.optim.optimizer, p.dtype) for p in _kinds(trained))
        saved = self._policy_weights if setup.accelerator == "cpu" else 0  # The file's content is made in memory.
        gradients = size / setup.gradient_shards
        passed = self._policy.training(self._pairs(), accumulates=setup.accumulates(settings)) + self._dequantised
        step = size / setup.state_shards if setup.foreach else 2 * max(p.nbytes for p in trained)
        working = max(passed, step, saved)
        return Memory(self._policy_weights + self._gathered, gradients, states / setup.state_shards, working)

    def _pairs(self) -> list:
        settings = self.settings
        pairs = min(settings.trainer.micro_batch_size, settings.trainer.global_batch_size)
        answers = 2 if settings.loss.needs_rejected else 1
        length = settings.sampling.max_new_tokens
        return [(_prompt(i, self.prompt), [answer] * length) for answer in range(answers) for i in range(pairs)]

    def _scoring_pass(self, rehearsal: Rehearsal, prompt: int, responses: int) -> int:
        """The worst of batches with responses at the limit, and with rows as full as they can be."""
        budget, longest = self.settings.scoring.tokens_per_batch, self.settings.sampling.max_new_tokens
        width = min(MAX_ROW, budget) - prompt
        lengths = {longest, max(1, min(longest, width // min(responses, max(1, -(-width // longest)))))}
        share = rehearsal.shares_prompts
        peaks = []
        for length in lengths:
            prompts = budget // min(prompt + length, budget) + 1
            sequences = [(_prompt(i, prompt), [k] * length) for i in range(prompts) for k in range(responses)]
            rows = next(plan(range(len(sequences)), sequences, budget, share=share))
            used = {index: place for place, index in enumerate(index for row in rows for index in row)}
            batch = [sequences[index] for index in used]
            peaks.append(rehearsal.scoring(batch, [[used[index] for index in row] for row in rows]))
        return max(peaks)

    def _visitors(self) -> list[float]:
        """Bytes of those models of the reward pair that have weights of their own (see `residency.reward_pair`)."""
        hosts = [(self.policy.weights, self.setup.quantisation)] if self.setup.adapter else []
        sizes = []
        for model in (self.policy, self.reference):
            kind = model.weights, self._bits(model)
            if kind in hosts:
                continue
            sizes.append(self._whole(model))
            if model.base and not self.setup.one_at_a_time:
                hosts.append(kind)
        return sizes

    @cached_property
    def _policy(self) -> Rehearsal:
        return self.setup.rehearsal(self.policy, trains=True)

    @cached_property
    def _scorer(self) -> Rehearsal:
        return self.setup.rehearsal(self.policy, trains=False)

    @cached_property
    def _policy_weights(self) -> float:
        return weight_bytes(self._policy.model, self.setup.quantisation) / self.setup.weight_shards

    @cached_property
    def _gathered(self) -> float:
        """Sharded weights that are whole on every device while their layer is computed, and the next one's."""
        if self.setup.weight_shards == 1:
            return 0
        layers = [sum(p.nbytes for p in layer.parameters()) for layer in self._policy.model.get_decoder().layers]
        return 2 * max(layers)

    @cached_property
    def _dequantised(self) -> float:
        """The largest 4-bit matrix, in the dtype that it is computed with."""
        if self.setup.quantisation is None:
            return 0
        return max(p.nbytes for p in self._policy.model.parameters() if p.ndim == 2 and not p.requires_grad)

    def _whole(self, model: Architecture) -> float:
        return weight_bytes(self.setup.rehearsal(model, trains=False).model, self._bits(model))

    def _bits(self, model: Architecture) -> bool | None:
        """Quantisation of a model that is not trained: where it has an adapter, as the policy's under its own."""
        return self.setup.quantisation if model.base else self.setup.pair_quantisation


def weight_bytes(model: PreTrainedModel, quantisation: bool | None) -> float:
    """Bytes of a model's weights.

    Args:
        quantisation: None for none; else 4 bits for all matrices of its layers, and whether their scales are, too.
    """
    outside = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    quantised = quantisation is not None

    def size(parameter: torch.Tensor) -> float:
        if quantised and parameter.ndim == 2 and id(parameter) not in outside and not parameter.requires_grad:
            return parameter.numel() * QUANTISED[quantisation]
        return parameter.nbytes

    return sum(map(size, model.parameters()))


def state_bytes(optimizer: Callable[[Iterable[torch.nn.Parameter]], Optimizer], dtype: torch.dtype) -> float:
    """Bytes of state that an optimiser keeps a parameter of `dtype`, measured on a small one."""
    parameter = torch.nn.Parameter(torch.zeros(PROBE, dtype=dtype))
    parameter.grad = torch.zeros_like(parameter)
    made = optimizer([parameter])
    made.step()
    values = (value for state in made.state.values() for value in state.values() if torch.is_tensor(value))
    return sum(value.nbytes for value in values) / PROBE


def _kinds(parameters: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    """One tensor a dtype, as large as all parameters of it together; it holds nothing."""
    sizes: dict[torch.dtype, int] = {}
    for parameter in parameters:
        sizes[parameter.dtype] = sizes.get(parameter.dtype, 0) + parameter.numel()
    return [torch.empty(size, dtype=dtype, device="meta") for dtype, size in sizes.items()]


def _prompt(number: int, length: int) -> list[int]:
    """Prompts that are told apart by their first token."""
    return [number, *[0] * (length - 1)]
