"""Where a training goes on, and what it refuses."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch

from icr.errors import RunError
from icr.models.loading import Loader
from icr.training.fit import TrainerSettings, _check_weights, _last_checkpoint
from tests.e2e import tiny


def checkpoint(folder: Path, step: int, keep: float = 1.0) -> Path:
    """A checkpoint of a step, of which so much was written."""
    path = folder / f"step={step}.ckpt"
    torch.save({"step": step, "weights": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    os.utime(path, (step, step))
    return path


def test_training_goes_on_from_the_last_whole_checkpoint(tmp_path: Path):
    assert _last_checkpoint(tmp_path / "none") is None
    assert _last_checkpoint(tmp_path) is None
    for step in (9, 10):
        whole = checkpoint(tmp_path, step)
    assert _last_checkpoint(tmp_path) == whole
    for step, keep in ((11, 0.5), (12, 0.99), (13, 0)):
        checkpoint(tmp_path, step, keep)
    assert _last_checkpoint(tmp_path) == whole


def test_weights_that_are_not_finite_are_named(tmp_path: Path):
    loaded = Loader().load(tiny.byte_llama(tmp_path, 0, context=64))
    _check_weights(loaded, "fine")
    with torch.no_grad():
        loaded.model.lm_head.weight[7, 3] = math.inf
    with pytest.raises(RunError, match=r"round_0: lm_head\.weight holds NaN or infinity"):
        _check_weights(loaded, "round_0")


@pytest.mark.parametrize("name", ["global_batch_size", "micro_batch_size", "epochs", "checkpoint_every", "max_steps"])
def test_sizes_are_at_least_one(name: str):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
        TrainerSettings(**{name: 0})
