"""What a run will need: tokens, operations, memory and hours, rehearsed and counted before any weights are there."""

from typing import TYPE_CHECKING

from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.doctor.plan.architecture import Architecture
    from icr.doctor.plan.hardware import DEVICES, Device, this_machine
    from icr.doctor.plan.make import make_plan
    from icr.doctor.plan.phases import Plan
    from icr.doctor.plan.workload import Workload

__all__ = [
    "DEVICES",
    "Architecture",
    "Device",
    "Plan",
    "Workload",
    "make_plan",
    "this_machine",
]

__getattr__ = lazily(
    __name__,
    {
        "icr.doctor.plan.architecture": ["Architecture"],
        "icr.doctor.plan.hardware": ["DEVICES", "Device", "this_machine"],
        "icr.doctor.plan.make": ["make_plan"],
        "icr.doctor.plan.phases": ["Plan"],
        "icr.doctor.plan.workload": ["Workload"],
    },
)
