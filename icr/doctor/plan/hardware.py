"""Devices that a plan is made for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

GIB = 2**30
THIS = "this"


@dataclass(frozen=True)
class Device:
    """One device.

    Attributes:
        name: for people.
        memory: bytes.
        flops: peak FLOP/s by dtype, dense, `float32` without TensorFloat.
        bandwidth: peak bytes/s of its memory.
        source: where the figures are from.
        here: `cpu` or `cuda` where it is this machine's, and the figures what a program reaches; None of a data sheet.
    """

    name: str
    memory: float
    flops: dict[str, float]
    bandwidth: float
    source: str
    here: str | None = None

    def peak(self, dtype: torch.dtype) -> float:
        """FLOP/s in `dtype`; 16-bit types are alike."""
        return self.flops["float32" if dtype in (torch.float32, torch.float64) else "bfloat16"]


def _device(name: str, gib: float, bfloat16: float, float32: float, gigabytes: float, source: str) -> Device:
    return Device(name, gib * GIB, {"bfloat16": bfloat16 * 1e12, "float32": float32 * 1e12}, gigabytes * 1e9, source)


DEVICES = {
    "A100": _device("A100 SXM 80 GB", 80, 312, 19.5, 2039, "NVIDIA A100 data sheet"),
    "H100": _device("H100 SXM 80 GB", 80, 989, 67, 3350, "NVIDIA H100 data sheet, without sparsity"),
    "H200": _device("H200 SXM 141 GB", 141, 989, 67, 4800, "NVIDIA H200 data sheet, without sparsity"),
    "RTX4090": _device(
        "RTX 4090 24 GB", 24, 165, 82.6, 1008, "NVIDIA Ada GPU architecture paper, float32 accumulation"
    ),
    "L40S": _device("L40S 48 GB", 48, 362, 91.6, 864, "NVIDIA L40S data sheet, without sparsity"),
}
"""By the names that `doctor.devices` takes. Memory as sold, in GiB where the driver shows about as many."""


def this_machine(device: str) -> Device:
    """The device that a run would use here, measured with a matrix product and a copy.

    Args:
        device: `cpu` or `cuda`.
    """
    if device == "cuda":
        name, memory = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory
    else:
        threads = torch.get_num_threads()
        name, memory = f"CPU, {threads} thread{'s' if threads > 1 else ''}", _host_memory()
    flops = {str(dtype).removeprefix("torch."): _flops(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    return Device(name, memory, flops, _bandwidth(device), "measured now", here=device)


def _host_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _flops(device: str, dtype: torch.dtype) -> float:
    size = 8192 if device == "cuda" else 768
    factor = torch.randn(size, size, device=device).to(dtype)
    return 2 * size**3 / quickest(lambda: factor @ factor)


def _bandwidth(device: str) -> float:
    values = torch.zeros(2**28 if device == "cuda" else 2**25, device=device)
    target = torch.empty_like(values)
    return 2 * values.nbytes / quickest(lambda: target.copy_(values))


def quickest(work: Callable[[], object], turns: int = 3) -> float:
    """Seconds of the quickest of a few turns, after one to warm up."""
    best = float("inf")
    for _ in range(turns + 1):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best
