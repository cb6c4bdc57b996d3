"""Bytes on one device in each phase of a round: what stays (counted) and what a pass holds (rehearsed)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch.optim import Optimizer
from transformers import PreTrainedModel

from icr.config import Settings
from icr.doctor.plan.architecture import Architecture
from icr.doctor.plan.rehearsal import Rehearsal
from icr.doctor.setup import Setup
from icr.logps.layout import MAX_ROW, IdPair
from icr.logps.scoring import plan
from icr.models import Quantisation
from icr.models.residency import Weights, hosts, together

QUANTISED = {True: 0.5 + 1 / 64 + 4 / (64 * 256), False: 0.5 + 4 / 64}
"""Bytes of a 4-bit weight with its scale (a block of 64), by whether the scales are quantised too (`double`)."""
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
        """The sum of the four."""
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
        response: tokens of the longest response.
    """

    settings: Settings
    setup: Setup
    policy: Architecture
    reference: Architecture
    prompt: int
    reward_prompt: int
    response: int

    def phases(self) -> dict[str, Memory]:
        """Peak of each phase, for the longest prompt and the longest responses."""
        phases = {}
        if self.settings.samples:
            phases["sampling"] = self.sampling()
        if self.settings.scores:
            phases["scoring"] = self.scoring()
        if self.settings.loss.needs_reference:
            phases["reference"] = self.reference_logps()
        phases["training"] = self.training()
        if self.settings.evaluation:
            phases["evaluation"] = replace(self.sampling(), weights=self._whole(self.policy))
        return phases

    def sampling(self) -> Memory:
        """The policy, and the cache of a batch of rows that all reach the limit."""
        if self.setup.engine:
            # An engine in a process of its own takes what it is given; the policy is off the device meanwhile.
            return Memory(weights=self._whole(self.policy))
        sampler = self.settings.sampling
        prompts = sampler.at_a_time(self.prompt, sampler.n) // sampler.n
        truncates = sampler.top_p < 1 or bool(sampler.top_k)
        working = self.start.sampling(prompts, self.prompt, sampler.n, sampler.max_new_tokens, truncates=truncates)
        return Memory(self._start_weights, working=working)

    def scoring(self) -> Memory:
        """Policy and reward pair, where most of them are in memory together, and a scoring pass over a full batch."""
        alone, pair = self.setup.one_at_a_time, (self.policy, self.reference)
        places = hosts(self._start, [self._weights(model) for model in pair], one_at_a_time=alone)
        moments = together(places, one_at_a_time=alone, offloads=self.setup.accelerator != "cpu")
        weights = max(sum(map(self._placed, moment)) for moment in moments)
        return Memory(weights, working=self._scoring_pass(self.scorer, self.reward_prompt, self.settings.sampling.n))

    def reference_logps(self) -> Memory:
        """The training reference's log-probs of the pairs: the policy itself, or another model beside it."""
        apart = {"policy": self.policy, "reference": self.reference}.get(self.settings.training_reference)
        other = self._whole(apart) if apart and not self._start.holds(self._weights(apart)) else 0
        rehearsal, sequences = self.scorer if apart else self.trained, self._pairs()
        working = rehearsal.scoring(sequences, rehearsal.rows(sequences))
        return Memory(self._policy_whole + other, working=working)

    def training(self) -> Memory:
        """Weights, gradients, optimiser states and the larger of a micro-batch's pass and the optimiser's own work."""
        setup, sharding = self.setup, self.setup.sharding
        trained = [p for p in self.trained.model.parameters() if p.requires_grad]
        size = sum(p.nbytes for p in trained)
        states = sum(p.numel() * self.state_bytes(p.dtype) for p in _kinds(trained))
        gradients = size / sharding.gradients
        passed = self.trained.training(self._pairs(), accumulates=setup.accumulates) + self._dequantised
        step = size / sharding.states if setup.foreach else 2 * max(p.nbytes for p in trained)
        working = max(passed, step)
        return Memory(self._policy_weights + self._gathered, gradients, states / sharding.states, working)

    def state_bytes(self, dtype: torch.dtype) -> float:
        """Bytes per trained parameter of `dtype` that the optimiser keeps, with a float32 copy where there is one."""
        optimizer = self.settings.optim.optimizer
        if self.setup.keeps_master_weights:
            return torch.float32.itemsize + state_bytes(optimizer, torch.float32)
        return state_bytes(optimizer, dtype)

    def _pairs(self) -> Sequence[IdPair]:
        settings = self.settings
        pairs = min(settings.trainer.micro_batch_size, settings.trainer.global_batch_size)
        answers = 2 if settings.loss.needs_rejected else 1
        return [(_prompt(i, self.prompt), [answer] * self.response) for answer in range(answers) for i in range(pairs)]

    def _scoring_pass(self, rehearsal: Rehearsal, prompt: int, responses: int) -> int:
        """The worst of batches with responses at the limit, and with rows as full as they can be."""
        budget, longest = self.settings.scoring.tokens_per_batch, self.response
        width = min(MAX_ROW, budget) - prompt
        lengths = {longest, max(1, min(longest, width // min(responses, max(1, -(-width // longest)))))}
        share = rehearsal.shares_prompts
        peaks = []
        for length in lengths:
            prompts = budget // min(prompt + length, budget) + 1
            sequences = [(_prompt(i, prompt), [k] * length) for i in range(prompts) for k in range(responses)]
            rows = next(plan(range(len(sequences)), sequences, budget, share=share))
            peaks.append(rehearsal.scoring(sequences, rows))
        return max(peaks)

    @property
    def _start(self) -> Weights:
        """The policy in training, under its adapter where it trains one."""
        base = (self.policy.base or self.policy.path) if self.settings.adapter else None
        return Weights(self.policy.path, base, quantised=self.setup.quantisation is not None)

    def _weights(self, model: Architecture) -> Weights:
        return Weights(model.path, model.base, quantised=self.setup.loaded(model) is not None)

    @cached_property
    def trained(self) -> Rehearsal:
        """The policy as it is trained."""
        return self.setup.rehearsal(self.policy, trains=True)

    @cached_property
    def scorer(self) -> Rehearsal:
        """The policy as the reward pair scores."""
        return self.setup.rehearsal(self.policy, trains=False)

    @cached_property
    def start(self) -> Rehearsal:
        """The policy while the round's data are made: its weights are rounded afterwards."""
        if self.setup.policy_dtype == self.setup.loader_dtype:
            return self.trained
        return self.setup.rehearsal(self.policy, trains=True, rounded=False)

    @cached_property
    def _start_weights(self) -> float:
        """Of the policy while the round's data are made: whole on every device, whatever the strategy."""
        return weight_bytes(self.start.model, self.setup.quantisation)

    @cached_property
    def _policy_whole(self) -> float:
        """Of the policy when its weights are rounded, and not spread yet."""
        return weight_bytes(self.trained.model, self.setup.quantisation)

    @cached_property
    def _policy_weights(self) -> float:
        """Of the policy while it is trained."""
        return self._policy_whole / self.setup.sharding.weights

    @cached_property
    def _gathered(self) -> float:
        """Sharded weights that are whole on every device while their layer is computed, and the next one's."""
        if self.setup.sharding.weights == 1:
            return 0
        layers: torch.nn.ModuleList = self.trained.model.get_decoder().layers
        return 2 * max(sum(p.nbytes for p in layer.parameters()) for layer in layers)

    @cached_property
    def _dequantised(self) -> float:
        """The largest 4-bit matrix, in the dtype that it is computed with."""
        if self.setup.quantisation is None:
            return 0
        return max(p.nbytes for p in self.trained.model.parameters() if p.ndim == 2 and not p.requires_grad)

    def _placed(self, place: int) -> float:
        """Bytes of one of `[trained, policy, reference]`."""
        return self._whole((self.policy, self.reference)[place - 1]) if place else self._start_weights

    def _whole(self, model: Architecture) -> float:
        return weight_bytes(self.setup.rehearsal(model, trains=False).model, self.setup.loaded(model))


def weight_bytes(model: PreTrainedModel, quantisation: Quantisation | None) -> float:
    """Bytes of a model's weights: with `quantisation`, four bits for each of all frozen matrices of its layers."""
    outside = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}

    def size(parameter: torch.Tensor) -> float:
        if quantisation and parameter.ndim == 2 and id(parameter) not in outside and not parameter.requires_grad:
            return parameter.numel() * QUANTISED[quantisation.double]
        return parameter.nbytes

    return sum(map(size, model.parameters()))


def state_bytes(optimizer: Callable[[Iterable[torch.nn.Parameter]], Optimizer], dtype: torch.dtype) -> float:
    """Bytes of state that an optimiser keeps per parameter of `dtype`, measured on a small one."""
    parameter = torch.nn.Parameter(torch.zeros(PROBE, dtype=dtype))
    parameter.grad = torch.zeros_like(parameter)
    made = optimizer([parameter])
    made.step()
    values = (value for state in made.state.values() for value in state.values() if torch.is_tensor(value))
    size: int = sum(value.nbytes for value in values)
    return size / PROBE


def _kinds(parameters: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    """One tensor per dtype, as large as all parameters of it together; it holds nothing."""
    sizes: dict[torch.dtype, int] = {}
    for parameter in parameters:
        sizes[parameter.dtype] = sizes.get(parameter.dtype, 0) + parameter.numel()
    return [torch.empty(size, dtype=dtype, device="meta") for dtype, size in sizes.items()]


def _prompt(number: int, length: int) -> list[int]:
    """Prompts that are told apart by their first token."""
    return [number, *[0] * (length - 1)]
