"""Where a training goes on, and what its log amounts to after a kill."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pandas as pd
import pytest
import torch

from icr.errors import RunError
from icr.models.loading import Loader
from icr.rundir.layout import Layout
from icr.rundir.summary import write_metrics
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
    with pytest.raises(ValueError, match=f"{name} must be at least 1"):
        TrainerSettings(**{name: 0})


def log(folder: Path, version: int, steps: list[int], loss: float) -> None:
    """What one attempt logged."""
    path = folder / f"metrics/version_{version}/metrics.csv"
    path.parent.mkdir(parents=True)
    pd.DataFrame({"step": steps, "loss": loss}).to_csv(path, index=False)


def test_metrics_are_of_the_last_attempt_at_each_step(tmp_path: Path):
    write_metrics(Layout(tmp_path))
    assert not (tmp_path / "metrics.csv").exists()
    log(tmp_path / "round_0", 2, [1, 2, 3], 0.5)
    log(tmp_path / "round_0", 10, [3, 4], 0.25)
    log(tmp_path / "round_0", 9, [3], 9.0)
    log(tmp_path / "round_10", 0, [0], 10.0)
    log(tmp_path / "round_2", 0, [0], 2.0)
    begun = tmp_path / "round_0/metrics/version_11/metrics.csv"
    begun.parent.mkdir()
    begun.touch()
    write_metrics(Layout(tmp_path))
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    assert list(zip(metrics["round"], metrics.step, metrics.loss, strict=True)) == [
        (0, 1, 0.5),
        (0, 2, 0.5),
        (0, 3, 0.25),
        (0, 4, 0.25),
        (2, 0, 2.0),
        (10, 0, 10.0),
    ]
