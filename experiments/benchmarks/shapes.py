"""What it costs to keep code for every shape of a product: training with bfloat16 weights, no two steps of one length.

Gemma 3 270M's shapes, random weights, an adapter. oneDNN keeps 1024 of what it has compiled by itself; `icr` has it
keep fewer, in each process that a command starts. Each way in a process of its own, in turn.

    python experiments/benchmarks/shapes.py
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import arguments, peak_memory, report, start
from peft import LoraConfig
from wide import gemma

from icr.config.command import ENVIRONMENT
from icr.logps import lay_out, token_logps

VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
WAYS = {"icr": ENVIRONMENT[VARIABLE], "oneDNN": "1024", "none": "0"}
"""Kept shapes, by who says so."""


def training(steps: int, seed: int, seconds: Path) -> Callable[[], None]:
    """Gradients of an adapter, of as many steps of two pairs; writes down how long they took."""
    model = gemma(seed).bfloat16().requires_grad_(False)
    model.add_adapter(LoraConfig(r=16, target_modules=r".*_proj", init_lora_weights=False))
    draw = np.random.default_rng(seed)

    def run() -> None:
        began = time.perf_counter()
        for _ in range(steps):
            prompts = [draw.integers(5, 262_000, draw.integers(20, 200)).tolist() for _ in range(2)]
            answers = [draw.integers(5, 262_000, draw.integers(30, 81)).tolist() for _ in range(4)]
            work = [(prompts[place // 2], answer) for place, answer in enumerate(answers)]
            token_logps(model, lay_out(work, [[0, 1], [2, 3]])).sum().backward()
            model.zero_grad(set_to_none=True)
        seconds.write_text(str(time.perf_counter() - began))

    return run


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.set_defaults(repeats=2)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    start(options)
    peaks: dict[str, list[float]] = {way: [] for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for way, kept in WAYS.items():
                os.environ[VARIABLE] = kept
                taken = Path(folder) / "seconds"
                peaks[way].append(peak_memory(training, options.steps, options.seed, taken))
                seconds[way].append(float(taken.read_text()))
    rows = [
        {
            "way": way,
            "kept": kept,
            "peak MiB above the model": statistics.median(peaks[way]),
            "seconds": min(seconds[way]),
            "times icr": statistics.median(a / b for a, b in zip(seconds[way], seconds["icr"], strict=True)),
        }
        for way, kept in WAYS.items()
    ]
    report("shapes", rows, "peft", steps=options.steps)


if __name__ == "__main__":
    main()
