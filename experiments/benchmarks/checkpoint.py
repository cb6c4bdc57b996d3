"""What a training's checkpoint costs in memory and time: Lightning's own files, and those that are streamed.

python experiments/benchmarks/checkpoint.py
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import common
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from icr.training.checkpoint_files import StreamedCheckpoints

WAYS = {"streamed": StreamedCheckpoints, "Lightning's": TorchCheckpointIO}
PARAMETERS = 32_000_000
"""With AdamW's two states, 384 MB in float32: in 12 tensors for each of weights and states."""


def saving(way: str, folder: str):
    """Saves, ready to run."""
    size = PARAMETERS // 12
    checkpoint = {kind: {str(i): torch.ones(size) for i in range(12)} for kind in ("weights", "m", "v")}
    return partial(WAYS[way]().save_checkpoint, checkpoint, Path(folder) / f"{way}.ckpt")


def loading(way: str, folder: str):
    """Loads what `saving` has left, and looks at all of it, a tensor at a time."""

    def load() -> None:
        found = WAYS[way]().load_checkpoint(Path(folder) / f"{way}.ckpt", weights_only=True)
        assert all(float(tensor[-1]) == 1 for part in found.values() for tensor in part.values())

    return load


def main() -> None:
    """Measure and print."""
    options = common.arguments(__doc__).parse_args()
    common.start(options)
    rows = []
    with tempfile.TemporaryDirectory(dir=common.ROOT) as folder:
        for what in (saving, loading):
            timings = common.alternate({way: what(way, folder) for way in WAYS}, options.repeats)
            peaks = {way: common.peak_memory(what, way, folder) for way in WAYS}
            rows += [
                {
                    "what": what.__name__,
                    "way": way,
                    "seconds": timing.median,
                    "times streamed": timing.ratio,
                    "peak MiB": peaks[way],
                }
                for way, timing in timings.items()
            ]
    common.report("checkpoint", rows, "lightning", size=f"{12 * PARAMETERS / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
