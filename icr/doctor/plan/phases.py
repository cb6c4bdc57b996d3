"""What a run will need: tokens, operations and memory per phase, and hours on given devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from icr.doctor.plan.draws import Draws
from icr.doctor.plan.hardware import Device
from icr.doctor.plan.memory import Memory
from icr.doctor.settings import DoctorSettings

ROOM = 0.92
"""Share of a device's memory that a plan may fill: allocators fragment, and the driver takes some."""


@dataclass(frozen=True)
class Phase:
    """One phase of one round, or of a diagnosis.

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

    def as_dict(self) -> dict[str, object]:
        """What JSON has of it."""
        memory = {**asdict(self.memory), "total": self.memory.total}
        return {"phase": self.name, "tokens": round(self.tokens), "flops": self.flops, "memory": memory}


@dataclass(frozen=True)
class Decoding:
    """Sampling token by token: what is read from memory, not what is multiplied, takes the time.

    Attributes:
        steps: forward passes of one token per row, over all batches.
        weights: bytes of weights, read at each step.
        cache: bytes of keys and values that are read or copied in all.
        layers: of the model.
        draws: tokens that are drawn; None where an engine does it.
    """

    steps: float
    weights: float
    cache: float
    layers: float
    draws: Draws | None = None

    def seconds(self, device: Device, share: float, layer_seconds: float) -> float:
        """Seconds on one device: the slower of reading weights and issuing work, then the cache and the draws."""
        bandwidth = device.bandwidth * share
        passes = self.steps * max(self.weights / bandwidth, self.layers * layer_seconds)
        return passes + self.cache / bandwidth + (self.draws.seconds(device, bandwidth) if self.draws else 0)


@dataclass(frozen=True)
class Hours:
    """Hours on a kind of devices, by phase.

    Attributes:
        device: one of them.
        round: of one round's phases.
        diagnosis: of those of a diagnosis.
    """

    device: Device
    round: Mapping[str, float]
    diagnosis: Mapping[str, float]


@dataclass(frozen=True)
class Plan:
    """A run, in figures.

    Attributes:
        phases: of one round.
        diagnosis: phases of a diagnosis of the run's reward beforehand.
        rounds: how many.
        devices: in all.
        disk: bytes that the run directory will hold at most.
        parameters: of the policy.
        notes: what was assumed.
    """

    phases: Sequence[Phase]
    diagnosis: Sequence[Phase]
    rounds: int
    devices: int
    disk: float
    parameters: int
    notes: Sequence[str]

    def on(self, device: Device, doctor: DoctorSettings) -> Hours:
        """How long all phases take: of a round on all devices, the work dealt out evenly, of a diagnosis on one."""
        of_round = {phase.name: _hours(phase, device, doctor) / self.devices for phase in self.phases}
        return Hours(device, of_round, {phase.name: _hours(phase, device, doctor) for phase in self.diagnosis})

    def peak(self) -> float:
        """Most bytes that any phase takes on one device."""
        return max(phase.memory.total for phase in self.phases)

    def fits(self, device: Device) -> bool:
        """Whether every phase has room."""
        return self.peak() <= ROOM * device.memory

    def as_dict(self) -> dict[str, object]:
        """The plan as JSON has it."""
        return {
            "rounds": self.rounds,
            "devices": self.devices,
            "disk": self.disk,
            "parameters": self.parameters,
            "notes": list(self.notes),
            "phases": [phase.as_dict() for phase in self.phases],
            "diagnosis": [phase.as_dict() for phase in self.diagnosis],
        }


def _hours(phase: Phase, device: Device, doctor: DoctorSettings) -> float:
    """Hours of all work of a phase on one device."""
    kind = "prefill" if phase.decoding else "training" if phase.name == "training" else "scoring"
    shares = {**doctor.utilisation, **({"decoding": 1.0} if device.here else {})}
    seconds = phase.flops / (device.peak(phase.dtype) * shares[kind])
    if phase.decoding:
        seconds += phase.decoding.seconds(device, shares["decoding"], doctor.layer_seconds)
    return seconds / 3600
