"""What a run will need: tokens, operations and memory per phase, and hours on given devices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from icr.config import Settings
from icr.doctor.plan.architecture import Architecture
from icr.doctor.plan.flops import Cost, cost
from icr.doctor.plan.hardware import Device
from icr.doctor.plan.memory import Memory, MemoryPlan, weight_bytes
from icr.doctor.plan.workload import Workload, room
from icr.doctor.settings import DoctorSettings
from icr.doctor.setup import Setup
from icr.errors import ModelError
from icr.logps.layout import MAX_ROW

CACHE_COPIES = 3
"""Times that a cache without pages is passed over in a step: read by attention, and copied to add a token."""
ROOM = 0.92
"""Share of a device's memory that a plan may fill: allocators fragment, and the driver takes some."""


@dataclass(frozen=True)
class Phase:
    """One phase of one round.

    Attributes:
        name: of the phase.
        tokens: that pass through a model.
        flops: of all devices together.
        memory: on one device.
        dtype: in which it multiplies.
        decoding: what sampling does token by token; None elsewhere.
    """

    name: str
    tokens: float
    flops: float
    memory: Memory
    dtype: torch.dtype
    decoding: Decoding | None = None


@dataclass(frozen=True)
class Decoding:
    """Sampling token by token: what is read from memory, not what is multiplied, takes the time.

    Attributes:
        steps: forward passes of one token per row, over all batches.
        weights: bytes of weights, read at each step.
        cache: bytes of keys and values that are read or copied in all.
        layers: of the model.
    """

    steps: float
    weights: float
    cache: float
    layers: float

    def seconds(self, device: Device, share: float, layer_seconds: float) -> float:
        """Seconds on one device: the slower of reading the weights and of issuing the work, and the cache besides."""
        bandwidth = device.bandwidth * share
        return self.steps * max(self.weights / bandwidth, self.layers * layer_seconds) + self.cache / bandwidth


@dataclass(frozen=True)
class Plan:
    """A run, in figures.

    Attributes:
        phases: of one round.
        rounds: how many.
        devices: in all.
        disk: bytes that the run directory will hold at most.
        parameters: of the policy.
        notes: what was assumed.
    """

    phases: Sequence[Phase]
    rounds: int
    devices: int
    disk: float
    parameters: int
    notes: Sequence[str]

    def hours(self, phase: Phase, device: Device, doctor: DoctorSettings) -> float:
        """Hours of one phase of one round on so many of these devices, the work dealt out evenly."""
        kind = {"sampling": "prefill", "translation": "prefill", "evaluation": "prefill", "training": "training"}
        shares = {**doctor.utilisation, **({"decoding": 1.0} if device.measured else {})}
        seconds = phase.flops / (device.peak(phase.dtype) * shares[kind.get(phase.name, "scoring")])
        if phase.decoding:
            seconds += phase.decoding.seconds(device, shares["decoding"], doctor.layer_seconds)
        return seconds / self.devices / 3600

    def peak(self) -> float:
        """Most bytes that any phase takes on one device."""
        return max(phase.memory.total for phase in self.phases)

    def fits(self, device: Device) -> bool:
        """Whether every phase has room."""
        return self.peak() <= ROOM * device.memory

    def as_dict(self) -> dict[str, object]:
        """The plan as JSON has it."""
        phases = [
            {
                "phase": phase.name,
                "tokens": round(phase.tokens),
                "flops": phase.flops,
                "memory": {**asdict(phase.memory), "total": phase.memory.total},
            }
            for phase in self.phases
        ]
        return {
            "rounds": self.rounds,
            "devices": self.devices,
            "disk": self.disk,
            "parameters": self.parameters,
            "notes": list(self.notes),
            "phases": phases,
        }


def make_plan(
    settings: Settings, doctor: DoctorSettings, setup: Setup, pair: tuple[Architecture, Architecture], work: Workload
) -> Plan:
    """Rehearse every phase and count its work.

    Args:
        pair: architectures of policy and reference.
        work: tokens of the prompts.

    Raises:
        ModelError: no prompt fits the model's context.
    """
    policy, reference = pair
    if not work.count:
        needed, remedy = room(settings, policy.context)
        raise ModelError(f"There is nothing to plan: no prompt fits {needed}. {remedy}")
    longest = int(work.prompts.max(initial=1)), int(work.rewards.max(initial=1))
    memory = MemoryPlan(settings, setup, policy, reference, *longest, work.longest_response)
    counted = Counts(settings, doctor, setup, work, memory)
    model = setup.rehearsal(policy, trains=True).model
    states = memory.state_bytes(setup.policy_dtype)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    saved = trained * setup.policy_dtype.itemsize
    return Plan(
        phases=counted.phases(memory.phases()),
        rounds=settings.iterations,
        devices=setup.devices,
        # Each round's model, two checkpoints at the moment that one takes the other's place, and eight bytes per token.
        disk=settings.iterations * (saved + 8 * counted.sampled) + 2 * (saved + trained * states),
        parameters=sum(p.numel() for p in model.parameters()),
        notes=[*work.notes, *_assumptions(settings, setup, policy, work)],
    )


def _assumptions(settings: Settings, setup: Setup, policy: Architecture, work: Workload) -> list[str]:
    notes = []
    if not policy.local:
        notes.append(f"{policy.path} is not on this machine: its shape is model.shape's")
    prompt, response = int(work.prompts.max()), work.longest_response
    mean = f"work for {work.mean_response:.0f} on average"
    notes.append(f"memory is for the longest prompt ({prompt} tokens) and responses of {response}; {mean}")
    if count := len(settings.controls):
        many = "1 control is a run of its own" if count == 1 else f"{count} controls are runs of their own"
        notes.append(f"{many} and not counted: one takes up to as long again")
    if setup.engine:
        notes.append("the sampling engine takes the memory that it is given")
    return notes


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
        return self._sampling("sampling", self.work.prompts, self.n, memory)

    def _translation(self, memory: Memory) -> Phase:
        requests = np.repeat(self.work.prompts.mean() + self.mean, self.work.count * self.n)
        return self._sampling("translation", requests, 1, memory)

    def _sampling(self, name: str, prompts: np.ndarray, n: int, memory: Memory) -> Phase:
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
        )
        return Phase(name, read + made, flops, memory, self.setup.loader_dtype, decoding)

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
        tokens, flops = self._rows(self.work.rewards, self.n, self.memory.scorer.shares_prompts)
        return Phase("scoring", 2 * tokens, 2 * flops, memory, self.setup.loader_dtype)

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
        return self._sampling("evaluation", prompts, evaluation.n, memory)

    def _on_pairs(self) -> tuple[float, float]:
        answers = 2 if self.settings.loss.needs_rejected else 1
        tokens, flops = self._rows(self.work.prompts, answers, self.memory.trained.shares_prompts)
        share = self.pairs / self.work.count
        return tokens * share, flops * share

    def _rows(self, prompts: np.ndarray, answers: int, share: bool) -> tuple[float, float]:
        """Tokens and FLOPs of a forward pass over each prompt with its answers, as many in a row as it takes."""
        together = np.clip((MAX_ROW - prompts) // self.mean, 1, answers) if share else np.ones_like(prompts)
        rows = answers / together
        tokens = float((rows * prompts).sum()) + len(prompts) * answers * self.mean
        squares = float((rows * (prompts + together * self.mean) ** 2).sum())
        return tokens, self.cost.forward(tokens, len(prompts) * answers * self.mean, squares)
