"""A plan from a run's settings."""

from __future__ import annotations

from icr.config import Settings
from icr.doctor.plan.architecture import Architecture
from icr.doctor.plan.counts import Counts
from icr.doctor.plan.diagnosis import LabelledLengths, diagnosis
from icr.doctor.plan.memory import MemoryPlan
from icr.doctor.plan.phases import Plan
from icr.doctor.plan.workload import Workload, room
from icr.doctor.settings import DoctorSettings
from icr.doctor.setup import Setup
from icr.errors import ModelError


def make_plan(
    settings: Settings,
    doctor: DoctorSettings,
    setup: Setup,
    pair: tuple[Architecture, Architecture],
    work: Workload,
    given: LabelledLengths | None = None,
) -> Plan:
    """Rehearse every phase and count its work.

    Args:
        pair: architectures of policy and reference.
        work: tokens of the prompts.
        given: tokens of the labelled preferences that the reward is to be diagnosed on.

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
    held = memory.phases()
    return Plan(
        phases=counted.phases(held),
        diagnosis=diagnosis(counted, held, given),
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
