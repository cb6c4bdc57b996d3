"""W&B tracking, really run, offline."""

from __future__ import annotations

import glob
import json
import time
from pathlib import Path

import pytest

from icr.rundir.reader import open_run
from icr.tracking.wandb import SAMPLES, CsvTracking, WandbTracking
from tests.report.fake_run import write_fake_run


def test_csv_writes_beside_the_round(tmp_path):
    logger = CsvTracking(tmp_path).loggers("round_0")[0]
    logger.log_metrics({"loss": 1.5}, step=3)
    logger.save()
    assert (tmp_path / "round_0/metrics/version_0/metrics.csv").read_text().split() == ["loss,step", "1.5,3"]


def test_offline_run_needs_no_account_and_holds_metrics_results_and_samples(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    directory = write_fake_run(tmp_path / "run")
    tracking = WandbTracking(directory, project="icr-test", group="sweep", offline=True)
    loggers = tracking.loggers("round_0")
    loggers[-1].log_metrics({"loss": 0.25}, step=0)
    assert tracking.run.summary["round_0/loss"] == 0.25
    tracking.finish(open_run(directory).summary)
    (binary,) = glob.glob(str(directory / "wandb/offline-run-*/*.wandb"))
    expected = (b"win_rate/M1/mean", b"round_0/samples", b"sweep")
    # W&B's own process empties its buffers a moment after the run has finished.
    until = time.monotonic() + 30
    while not all(name in Path(binary).read_bytes() for name in expected):
        assert time.monotonic() < until, [name for name in expected if name not in Path(binary).read_bytes()]
        time.sleep(0.1)
    (table,) = glob.glob(str(directory / "wandb/offline-run-*/files/media/table/round_0/samples*.json"))
    rows = json.loads(Path(table).read_text(encoding="utf-8"))
    assert "text" in rows["columns"]
    languages = [row[rows["columns"].index("language")] for row in rows["data"]]
    assert {languages.count(code) for code in set(languages)} == {SAMPLES}


def test_online_without_a_login_is_refused_clearly(tmp_path, monkeypatch):
    import wandb

    from icr.errors import ConfigError

    def refuse(**_):
        raise wandb.errors.UsageError("No API key configured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ConfigError, match=r"No API key configured.*logger\.offline=true"):
        WandbTracking(tmp_path, project="icr-test")
