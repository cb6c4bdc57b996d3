"""How the cost of scoring grows with K, the prompt's length and the vocabulary: ours, and padded transformers.

python experiments/benchmarks/growth.py --plot experiments/benchmarks/growth.svg
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import common
import matplotlib
import torch
from score import cross_entropy, in_batches, sorted_batches
from transformers import PreTrainedModel

from icr.logps import score

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BASE = {"K": 8, "prompt": 256, "vocabulary": 32_000}
AXES = {
    "K": (2, 4, 8, 16, 32),
    "prompt": (64, 128, 256, 512, 1024, 2048),
    "vocabulary": (8_000, 32_000, 128_000, 256_000),
}
RESPONSE = 64
"""Tokens of each response: alike, so that nothing but the quantity on the axis changes."""
TOKENS = 2048
"""Token budget of a batch of the padded way, and of ours."""


def model_of(vocabulary: int) -> PreTrainedModel:
    """A small Llama: 3 M parameters in its layers."""
    return common.random_llama(vocabulary, hidden=256, layers=4, heads=4, key_value_heads=2, intermediate=768)


def way(name: str, k: int, prompt: int, vocabulary: int, model: PreTrainedModel | None = None):
    """One way of scoring one prompt's responses, ready to run."""
    model = model or model_of(vocabulary)
    ids = common.random_responses([prompt] + [RESPONSE] * k, vocabulary)
    sequences = [(ids[0], response) for response in ids[1:]]
    if name == "ours":
        return partial(score, model, sequences, tokens_per_batch=TOKENS)
    return partial(in_batches, model, sequences, sorted_batches(sequences, TOKENS), cross_entropy)


def measure(axis: str, value: int, repeats: int) -> dict[str, object]:
    """A row of the table."""
    point = BASE | {axis: value}
    sizes = (point["K"], point["prompt"], point["vocabulary"])
    model = model_of(sizes[2])
    timings = common.alternate({name: way(name, *sizes, model) for name in ("ours", "padded")}, repeats)
    memory = {name: common.peak_memory(way, name, *sizes) for name in timings} if axis == "vocabulary" else {}
    return {
        "axis": axis,
        **point,
        "ours, s": timings["ours"].median,
        "padded, s": timings["padded"].median,
        "ratio": timings["padded"].ratio,
        "ours, MiB": memory.get("ours"),
        "padded, MiB": memory.get("padded"),
    }


def draw(rows: list[dict[str, object]], path: Path) -> None:
    """Seconds over each axis, both logarithmic."""
    plt.rcParams.update({"svg.hashsalt": "icr", "svg.fonttype": "none", "font.size": 9})
    figure, panels = plt.subplots(1, len(AXES), figsize=(9, 2.8), sharey=True, layout="constrained")
    labels = {"K": "responses a prompt", "prompt": "prompt, tokens", "vocabulary": "vocabulary"}
    for panel, axis in zip(panels, AXES, strict=True):
        points = [row for row in rows if row["axis"] == axis]
        values = [row[axis] for row in points]
        panel.loglog(values, [row["padded, s"] for row in points], "o-", color="#888888", label="padded")
        panel.loglog(values, [row["ours, s"] for row in points], "o-", color="#1f6feb", label="ours")
        panel.set_xticks(values, [f"{value // 1000}k" if value >= 8000 else str(value) for value in values])
        panel.minorticks_off()
        panel.set_xlabel(labels[axis])
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds")
    panels[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    """Measure each axis with the others at their base values."""
    parser = common.arguments(__doc__)
    parser.add_argument("--plot", type=Path, help="where the picture goes (.svg or .png)")
    options = parser.parse_args()
    common.start(options)
    with torch.inference_mode():
        rows = [measure(axis, value, options.repeats) for axis, values in AXES.items() for value in values]
    if options.plot:
        draw(rows, options.plot)
    common.report("growth", rows, response_tokens=RESPONSE, parameters=common.parameters(model_of(32_000)))


if __name__ == "__main__":
    main()
