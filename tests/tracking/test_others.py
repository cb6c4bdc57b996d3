"""TensorBoard and MLflow, really written and read back."""

from __future__ import annotations

import sqlite3
import sys

import pytest

from icr.errors import ConfigError
from icr.rundir import Summary
from icr.tracking import About, MlflowTracking, OneAxisTracking, TensorBoardTracking

RUN = About({"loss": {"alpha": 0.5}, "judge": {"key": "<hidden>"}}, ["en", "sw"], ["icr", "dpo"])


def attempt(tracking: OneAxisTracking, rounds: dict[int, range], models: int) -> None:
    """What a run logs in one attempt."""
    tracking.begin(RUN)
    tracking.measured({"eval/win_rate": 50.0, "sw/eval/win_rate": float("nan")}, 0)
    for round, steps in rounds.items():
        loggers = tracking.loggers(round)
        for step in steps:
            for logger in loggers:
                logger.log_metrics({"loss": 10.0 * round + step, "sw/nll": 0.5}, step=step)
        for logger in loggers:
            logger.finalize("success")
        if round < models:
            tracking.measured({"eval/win_rate": 51.0 + round}, round + 1)


STEPS = [(0, 0.0), (1, 1.0), (2, 10.0), (3, 11.0), (4, 12.0)]
MODELS = [(0, 50.0), (1, 51.0), (2, 52.0)]


def run_twice(make) -> None:
    """Killed after step 1 of round 1, whose last checkpoint is of step 0; the second attempt goes on from there."""
    first, second = make(), make()
    attempt(first, {0: range(2), 1: range(2)}, models=1)
    first.abort()
    attempt(second, {0: range(0), 1: range(1, 3)}, models=2)
    second.finish(Summary())


def test_tensorboard_has_every_step_once_on_one_axis(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_twice(lambda: TensorBoardTracking(tmp_path))
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(found.Tags()["scalars"]) == {"loss", "sw/nll", "eval/win_rate"}
    assert [(event.step, event.value) for event in found.Scalars("loss")] == STEPS
    assert [(event.step, event.value) for event in found.Scalars("eval/win_rate")] == MODELS
    (text,) = found.Tensors("config/text_summary")
    assert b"alpha: 0.5" in text.tensor_proto.string_val[0]


def test_mlflow_has_every_step_once_in_one_run(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run_twice(lambda: MlflowTracking(tmp_path))
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        rows = database.execute("select key, step, value from metrics order by step").fetchall()
        (status,) = database.execute("select status from runs").fetchall()
        params = dict(database.execute("select key, value from params").fetchall())
    assert [(step, value) for key, step, value in rows if key == "loss"] == STEPS
    assert [(step, value) for key, step, value in rows if key == "eval/win_rate"] == MODELS
    assert params == {"loss/alpha": "0.5", "judge/key": "<hidden>"}
    assert status == ("FINISHED",)


def test_an_address_with_a_password_and_one_of_nothing_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI") as refused:
        MlflowTracking(tmp_path, uri="postgresql://me:s3cret@host/db")
    assert "s3cret" not in str(refused.value)
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"):
        MlflowTracking(tmp_path, uri="https://s3cret@host")
    with pytest.raises(ConfigError, match=r"logger=mlflow cannot start.*logger\.uri"):
        MlflowTracking(tmp_path, uri="nothing://here").begin(RUN)


@pytest.mark.parametrize(("kind", "name"), [(TensorBoardTracking, "tensorboard"), (MlflowTracking, "mlflow")])
def test_what_is_not_installed_names_the_extra(kind, name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"logger={name} needs {name}.*pip install 'icr\[{name}\]'"):
        kind(tmp_path)
