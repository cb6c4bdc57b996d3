"""W&B tracking, really run, offline."""

from __future__ import annotations

import glob
import json
import subprocess
import sys
from pathlib import Path

import pytest

from icr.metrics import Metric, RoundMetric, names, round_names
from icr.rundir import Summary, open_run
from icr.tracking import WandbTracking
from icr.tracking.wandb import SAMPLES
from tests.report.fake_run import write_fake_run
from tests.tracking import offline_run


@pytest.fixture(autouse=True)
def _no_login(monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


def train(tracking: WandbTracking, round: int, steps: range) -> None:
    """What a training logs."""
    loggers = tracking.loggers(round)
    for step in steps:
        for logger in loggers:
            logger.log_metrics({"loss": 10.0 * round + step, "sw/nll": 0.5}, step=step)
    for logger in loggers:
        logger.log_hyperparams({"api_key": "hush"})
        logger.finalize("success")


def test_offline_run_needs_no_account_and_holds_metrics_results_and_samples(tmp_path):
    directory = write_fake_run(tmp_path / "run")
    tracking = WandbTracking(directory, project="icr-test", group="sweep", offline=True)
    loggers = tracking.loggers(0)
    loggers[-1].log_metrics({"loss": 0.25}, step=0)
    assert tracking.run.summary["loss"] == 0.25
    tracking.finish(open_run(directory).summary)
    found = offline_run.records(directory)
    assert {record.run.run_group for record in found if record.HasField("run")} == {"sweep"}
    summary = {"/".join(i.nested_key) or i.key for r in found if r.HasField("summary") for i in r.summary.update}
    assert "win_rate/M1/mean" in summary
    assert any("round_0/samples" in row for row in offline_run.history(directory))
    (table,) = glob.glob(str(directory / "wandb/offline-run-*/files/media/table/round_0/samples*.json"))
    rows = json.loads(Path(table).read_text(encoding="utf-8"))
    assert "text" in rows["columns"]
    languages = [row[rows["columns"].index("language")] for row in rows["data"]]
    assert {languages.count(code) for code in set(languages)} == {SAMPLES}


def test_rounds_are_on_one_axis_and_nothing_secret_is_kept(tmp_path):
    tracking = WandbTracking(tmp_path, project="icr-test", offline=True)
    train(tracking, 0, range(3))
    train(tracking, 1, range(2))
    tracking.finish(Summary())
    logged = [{key: value for key, value in row.items() if key[0] != "_"} for row in offline_run.history(tmp_path)]
    assert logged == [
        {"loss": 10.0 * round + step, "sw/nll": 0.5, "round": round, "global_step": 3 * round + step}
        for round, steps in ((0, 3), (1, 2))
        for step in range(steps)
    ]
    found = offline_run.records(tmp_path)
    axes = {record.metric.glob_name: record.metric.step_metric for record in found if record.HasField("metric")}
    assert axes["*"] == "global_step"
    assert not any(b"hush" in record.SerializeToString() for record in found)


def test_a_training_that_goes_on_logs_what_is_new(tmp_path):
    """Killed after step 3 of round 1, whose last checkpoint is of step 2."""
    first = WandbTracking(tmp_path / "first", project="icr-test", offline=True)
    train(first, 0, range(3))
    train(first, 1, range(4))
    first.finish(Summary())
    (tmp_path / "first/wandb").rename(tmp_path / "wandb of the first attempt")
    second = WandbTracking(tmp_path / "first", project="icr-test", offline=True)
    train(second, 1, range(2, 6))
    train(second, 2, range(2))
    second.finish(Summary())
    assert second.run.id == first.run.id
    steps = [row["global_step"] for row in offline_run.history(tmp_path / "first")]
    assert steps == [7, 8, 9, 10]


def test_online_without_a_login_is_refused_clearly(tmp_path, monkeypatch):
    import wandb

    from icr.errors import ConfigError

    def refuse(**_):
        raise wandb.errors.UsageError("No API key configured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ConfigError, match=r"No API key configured.*logger\.offline=true"):
        WandbTracking(tmp_path, project="icr-test")


@pytest.mark.slow
def test_a_run_of_two_rounds_logs_names_of_the_list_at_steps_that_go_on(tmp_path):
    small = ["langs.codes=[en,sw]", "data.prompts_per_language=4", "iterations=2", "evaluation=none", "sampling.n=2"]
    small += ["trainer.max_steps=3", "sampling.max_new_tokens=16", "reward.keep_truncated=true"]
    command = [sys.executable, "-m", "icr.run", f"run.dir={tmp_path}", "logger=wandb", "logger.offline=true", *small]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    rows = offline_run.history(tmp_path)
    steps = [(row["round"], row["global_step"]) for row in rows if "loss" in row]
    assert steps == [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4), (1, 5)]
    logged = {name for row in rows for name in row if name[0] != "_"}
    beside = {"round", "global_step", "round_0/samples", "round_1/samples"}
    unseen = {Metric.KL, *(RoundMetric.OFF_LANGUAGE.of(code) for code in ("en", "sw"))}
    assert logged - beside == {*names(["en", "sw"]), *round_names(["en", "sw"])} - unseen
