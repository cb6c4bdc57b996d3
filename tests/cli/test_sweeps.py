"""Sweeps whose jobs are processes of their own, as on a cluster: a run directory and a W&B run each, in one group."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = [
    *("langs.codes=[en,sw]", "data.prompts_per_language=4", "iterations=1", "evaluation=none", "trainer.max_steps=1"),
    *("sampling.n=2", "sampling.max_new_tokens=16", "reward.keep_truncated=true"),
]


def sweep(folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    launcher = ["hydra/launcher=submitit_local", "logger=wandb", "logger.offline=true"]
    return subprocess.run(
        [sys.executable, "-m", "icr.run", "-m", f"run.dir={folder}", *launcher, *overrides, *SMALL],
        env={key: value for key, value in os.environ.items() if key != "WANDB_API_KEY"},
        capture_output=True,
        text=True,
        timeout=400,
    )


def wandb_runs(folder: Path) -> dict[str, set[str]]:
    """Ids of the W&B runs of each job, by the job's folder; a folder `offline-run-<time>-<id>` an attempt."""
    jobs = sorted(path for path in folder.iterdir() if path.name[0].isdigit())
    return {job.name: {path.name.rpartition("-")[2] for path in job.glob("wandb/offline-run-*")} for job in jobs}


@pytest.mark.slow
def test_jobs_share_a_group_and_a_job_that_goes_on_keeps_its_run(tmp_path):
    folder = tmp_path / "two alphas"
    first = sweep(folder, "loss.alpha=0,1")
    assert first.returncode == 0, first.stderr
    ids = wandb_runs(folder)
    assert len(ids) == 2
    assert len(set.union(*ids.values())) == 2
    assert all((folder / job / "summary.json").is_file() for job in ids)
    for binary in folder.glob("*/wandb/offline-run-*/*.wandb"):
        assert b"two alphas" in binary.read_bytes()
    next(folder.glob("1_*/summary.json")).unlink()
    again = sweep(folder, "loss.alpha=0,1")
    assert again.returncode == 0, again.stderr
    assert wandb_runs(folder) == ids
    attempts = [len(list(folder.glob(f"{job}_*/wandb/offline-run-*"))) for job in (0, 1)]
    assert attempts == [1, 2]


@pytest.mark.slow
def test_a_job_that_is_refused_stops_no_other_and_says_why_in_its_log(tmp_path):
    done = sweep(tmp_path / "sweep", "loss.beta=0,1")
    assert done.returncode == 2
    assert len(list((tmp_path / "sweep").glob("*/summary.json"))) == 1
    logs = "".join(path.read_text() for path in (tmp_path / "sweep/.submitit").rglob("*.err"))
    assert "loss.beta must be above 0, got 0." in logs
