"""What the settings ask of the machine: packages, devices, room on the disk."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from icr.config import Settings
from icr.doctor.findings import Finding, failed, passed, warned
from icr.doctor.plan.hardware import GIB
from icr.doctor.setup import Setup
from icr.models.folder import base_of
from icr.models.gguf import PACKAGES, gguf_file
from icr.rounds import LanguageGate


def packages(settings: Settings, setup: Setup) -> Iterator[Finding]:
    """Optional packages that these settings use."""
    needed = dict(_needed(settings, setup))
    missing = {name: extra for name, extra in needed.items() if importlib.util.find_spec(name) is None}
    if missing:
        how = ", ".join(f"pip install {extra}" for extra in dict.fromkeys(missing.values()))
        yield failed("packages", f"missing: {', '.join(missing)}", f"{how}.")
    else:
        yield passed("packages", f"{', '.join(needed) or 'none beyond the required ones'} installed")


def _needed(settings: Settings, setup: Setup) -> Iterator[tuple[str, str]]:
    paths = settings.model.path, settings.reward_pair.policy, settings.reward_pair.reference
    if settings.adapter or any(map(base_of, paths)):
        yield "peft", "'icr[quantisation]'"
    if setup.quantisation or type(setup.optimizer()).__module__.startswith("bitsandbytes"):
        yield "bitsandbytes", "'icr[quantisation]'"
    if settings.model.loader.attn_implementation.startswith("flash_attention"):
        yield "flash_attn", "flash-attn"
    if any(gguf_file(base_of(path) or path) for path in paths):
        yield from ((name, "'icr[gguf]'") for name in PACKAGES)
    if isinstance(settings.gate, LanguageGate):
        yield "py3langid", "'icr[language]'"


def devices(settings: Settings, setup: Setup) -> Iterator[Finding]:
    """Whether the devices that are asked for are there."""
    trainer = settings.trainer
    there = torch.cuda.device_count()
    wanted = setup.devices // trainer.num_nodes
    if trainer.accelerator in ("gpu", "cuda") and not there:
        yield failed("devices", "trainer.accelerator asks for a GPU; torch sees none", "Set trainer.accelerator=auto.")
    elif there and trainer.accelerator != "cpu" and wanted > there:
        yield failed("devices", f"trainer.devices={wanted}, and there are {there}", f"Set trainer.devices={there}.")
    elif there and trainer.accelerator != "cpu":
        yield passed("devices", f"{wanted} of {there} × {torch.cuda.get_device_name()}")
    elif wanted > 1:
        yield warned(
            "devices", f"{wanted} processes on the CPU", "They share its cores; trainer.devices=1 is as quick."
        )
    else:
        yield passed("devices", "the CPU")


def disk(folder: Path, needed: float) -> Iterator[Finding]:
    """Whether the run directory has room.

    Args:
        folder: where it will be.
        needed: bytes, by the plan.
    """
    there = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    seen = f"the run may leave {needed / GIB:.2f} GiB; {free / GIB:.1f} GiB are free"
    if needed > free:
        yield failed("disk", seen, "Free some space, or give another run.dir.")
    elif needed > 0.8 * free:
        yield warned("disk", seen, "Free some space: a full disk stops a run.")
    else:
        yield passed("disk", seen)
