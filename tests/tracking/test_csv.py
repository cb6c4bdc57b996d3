"""The metric files of a run, joined."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from icr.metrics import RoundMetric
from icr.tracking import CsvTracking, joined_metrics, write_metrics


def log(folder: Path, version: int, steps: list[int], loss: float) -> None:
    """What one attempt logged."""
    path = folder / f"metrics/version_{version}/metrics.csv"
    path.parent.mkdir(parents=True)
    pd.DataFrame({"step": steps, "loss": loss}).to_csv(path, index=False)


def test_csv_writes_beside_the_round(tmp_path: Path):
    logger = CsvTracking(tmp_path).loggers(0)[0]
    logger.log_metrics({"loss": 1.5}, step=3)
    logger.save()
    assert (tmp_path / "round_0/metrics/version_0/metrics.csv").read_text().split() == ["loss,step", "1.5,3"]


def test_metrics_are_of_the_last_attempt_at_each_step(tmp_path: Path):
    write_metrics(tmp_path)
    assert not (tmp_path / "metrics.csv").exists()
    log(tmp_path / "round_0", 2, [1, 2, 3], 0.5)
    log(tmp_path / "round_0", 10, [3, 4], 0.25)
    log(tmp_path / "round_0", 9, [3], 9.0)
    log(tmp_path / "round_10", 0, [0], 10.0)
    log(tmp_path / "round_2", 0, [0], 2.0)
    begun = tmp_path / "round_0/metrics/version_11/metrics.csv"
    begun.parent.mkdir()
    begun.touch()
    write_metrics(tmp_path)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    assert list(zip(metrics["round"], metrics.step, metrics.loss, strict=True)) == [
        (0, 1, 0.5),
        (0, 2, 0.5),
        (0, 3, 0.25),
        (0, 4, 0.25),
        (2, 0, 2.0),
        (10, 0, 10.0),
    ]


@pytest.mark.parametrize(
    ("damaged", "steps"),
    [
        ("step,loss\n0,0.5\n1,0.5\n2,0.", [0, 1, 2]),
        ("step,loss\n0,0.5\nq,0.5\n1,0.5,7\n2,x\n1e300,0.5\n-1,0.5\n", [0, 2]),
        ("stfp,loss\n0,0.5\n", []),
        ('step,loss\n0,"0.5\n1,0.5\n', []),
        ("\x00\x01", []),
        ("\udcff,step\n1,0\n", []),
    ],
)
def test_what_cannot_be_read_of_a_log_is_left_out(tmp_path: Path, damaged: str, steps: list[int]):
    log(tmp_path / "round_0", 0, [0], 0.5)
    (tmp_path / "round_0/metrics/version_0/metrics.csv").write_text(damaged, "utf-8", "surrogateescape")
    assert joined_metrics(tmp_path).step.tolist() == steps


def test_steps_of_a_round_go_on_where_the_round_before_ended(tmp_path: Path):
    log(tmp_path / "round_0", 0, [0, 1, 2], 0.5)
    log(tmp_path / "round_0", 1, [2, 3], 0.5)
    log(tmp_path / "round_1", 0, [0, 1], 0.5)
    log(tmp_path / "round_2", 0, [0], 0.5)
    write_metrics(tmp_path)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    assert list(metrics.columns) == ["round", "step", "global_step", "loss"]
    assert metrics.step.tolist() == [0, 1, 2, 3, 0, 1, 0]
    assert metrics.global_step.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_a_line_that_a_kill_cut_before_its_step_does_not_count(tmp_path: Path):
    log(tmp_path / "round_0", 0, [0, 1], 0.5)
    with (tmp_path / "round_0/metrics/version_0/metrics.csv").open("a") as file:
        file.write(",0.5")
    assert joined_metrics(tmp_path).global_step.tolist() == [0, 1]


def test_what_is_logged_once_per_round_stands_at_its_first_step(tmp_path: Path):
    logger = CsvTracking(tmp_path).loggers(0)[0]
    logger.log_metrics({RoundMetric.LOG_RATIO.of("sw"): 0.125}, step=0)
    for step in range(2):
        logger.log_metrics({"loss": 1.0 - step}, step=step)
    joined = joined_metrics(tmp_path)
    assert joined.step.tolist() == [0, 1]
    assert joined.loss.tolist() == [1.0, 0.0]
    ratios = joined["sw/diagnosis/log_ratio"].tolist()
    assert ratios[0] == 0.125
    assert pd.isna(ratios[1])
