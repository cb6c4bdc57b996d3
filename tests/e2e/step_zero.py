"""Step 0 of a training, in every arithmetic: `python -m tests.e2e.step_zero` prints the largest log-ratio of each.

The learning rate is so small that no step moves a weight: every step is step 0, for other pairs.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tests.e2e import tiny
from tests.e2e.conftest import Program

CONTEXT = 2048
LENGTHS = (900, 3, 250, 40, 611, 77)
"""Bytes of the answers; beyond 500 positions, rounded frequencies of RoPE are off by a nat per token."""


@dataclass(frozen=True)
class Combination:
    """What decides about a training's arithmetic and about the way that it goes."""

    precision: str
    dtype: str = "float32"
    adapter: str = "none"
    strategy: str = "auto"
    ranks: int = 1
    loss: str = "dpo"

    def __str__(self) -> str:
        return "-".join([self.precision, self.dtype, self.adapter, self.strategy, str(self.ranks), self.loss])


def combinations() -> list[Combination]:
    """All that the configuration accepts on a CPU."""
    ways = [("ddp", 1), ("ddp", 2), ("fsdp2", 2)]
    precisions = ["32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"]
    found = []
    for precision, dtype, adapter, (strategy, ranks) in itertools.product(
        precisions, ["float32", "bfloat16"], ["none", "lora", "qlora"], ways
    ):
        refused = (
            (adapter != "none" and precision in ("bf16-true", "16-true"))
            or (strategy == "fsdp2" and (precision in ("16-mixed", "64-true") or adapter == "qlora"))
            or (precision == "16-mixed" and dtype == "bfloat16")
        )  # fmt: skip
        if not refused:
            found.append(Combination(precision, dtype, adapter, strategy, ranks))
    others = itertools.product(("32-true", "bf16-mixed", "bf16-true"), ("kto", "dpo_norm", "ld_dpo"))
    return [*found, *(Combination(precision, loss=loss) for precision, loss in others)]


def files(folder: Path) -> list[str]:
    """A model, and preferences of very different lengths."""
    model = tiny.byte_llama(folder / "model", 0, context=CONTEXT, hidden=64)
    rows = [
        {
            "prompt": f"Question {i}?",
            "chosen": "ab c" * (length // 4 + 1),
            "rejected": "xy" * (LENGTHS[-1 - i] // 2 + 1),
        }
        for i, length in enumerate(LENGTHS)
    ]
    path = folder / "preferences.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [f"model.path={model}", f"data.file={path}"]


def measure(program: Program, given: list[str], chosen: Combination, directory: Path) -> dict[str, float]:
    """Largest absolute log-ratio of a step's pairs, in nats, and how far the loss is from its value at most."""
    arguments = [
        "stage=english_dpo", "data=preferences", *given, f"loss={chosen.loss}", "loss.alpha=0", "evaluation=none",
        f"trainer.precision={chosen.precision}", f"model.loader.dtype={chosen.dtype}", f"adapter={chosen.adapter}",
        f"strategy={chosen.strategy}", f"trainer.devices={chosen.ranks}", "trainer.accelerator=cpu",
        "trainer.global_batch_size=2", f"trainer.micro_batch_size={2 // chosen.ranks}", "optim.lr=1e-30",
    ]  # fmt: skip
    if chosen.precision == "16-true":
        arguments.append("optim.optimizer.eps=1e-4")
    run = program.ok(directory, arguments, ranks=chosen.ranks)
    assert "Warning" not in run.output, run.output
    metrics = pd.read_csv(run.directory / "metrics.csv")
    assert len(metrics) == len(LENGTHS) // 2
    beta = 5.0 if chosen.loss == "dpo_norm" else 0.1
    expected = 0.5 if chosen.loss == "kto" else math.log(2)
    return {
        "chosen": float(metrics["logps/chosen_ratio"].abs().max()),
        "margin": float(metrics["rewards/margins"].abs().max() / beta),
        "loss": float((metrics["loss"] - expected).abs().max()),
    }


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        given, program = files(Path(folder)), Program(Path(folder))
        heads = "precision", "weights loaded in", "adapter", "strategy", "processes", "loss"
        print("|", " | ".join([*heads, "log-ratio", "margin", "loss off by"]), "|")
        print("|", " | ".join(["---"] * (len(heads) + 3)), "|")
        for number, chosen in enumerate(combinations()):
            seen = measure(program, given, chosen, Path(folder) / str(number))
            cells = [chosen.precision, chosen.dtype, chosen.adapter, chosen.strategy, chosen.ranks, chosen.loss]
            print("|", " | ".join([*map(str, cells), *(f"{value:.2g}" for value in seen.values())]), "|", flush=True)
        program.close()


if __name__ == "__main__":
    sys.exit(main())
