"""`hydra/sweeper=optuna`: what is proposed, and what a study makes of jobs that did not finish."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from icr.run.__main__ import main
from icr.run.sweep import search as searching
from icr.rundir.sweeps import Job, Status, open_sweep, write_end
from tests.run.sweeping import JUDGED, Command

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")

SEARCHED = ["loss.alpha=interval(0,2)", "optim.lr=tag(log,interval(1e-5,1e-2))", "loss.beta=0.1,0.5"]


class Jobs:
    """Jobs that take no time: the nearer to α = 1, the higher the win rate. Those in `fail` fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.fail: set[int] = set()
        self.launched: list[int] = []
        monkeypatch.setattr(searching, "launch", self.launch)
        monkeypatch.setattr(searching, "conclude", lambda directory: None)

    def launch(self, launcher: object, directory: Path, jobs: list[Job], overrides: object) -> list[Job]:
        """In the place of what starts processes."""
        ended = [replace(job, **self.end(job)) for job in jobs]
        for job in ended:
            write_end(directory, job)
        self.launched += [job.number for job in jobs]
        return ended

    def end(self, job: Job) -> dict[str, object]:
        if job.number in self.fail:
            return {"status": Status.FAILED, "error": "No pairs."}
        return {"status": Status.FINISHED, "objective": 60 - abs(float(job.overrides["loss.alpha"]) - 1)}


@pytest.fixture
def jobs(monkeypatch):
    return Jobs(monkeypatch)


def search(folder: Path, trials: int, *arguments: str) -> int:
    own = [f"hydra.sweeper.n_trials={trials}", f"run.dir={folder}", "hydra.sweeper.sampler.n_startup_trials=2"]
    return main(["-m", "hydra/sweeper=optuna", *own, *SEARCHED, *arguments])


def values(folder: Path) -> list[dict[str, str]]:
    return [dict(job.overrides) for job in open_sweep(folder).jobs]


def test_an_interrupted_study_proposes_what_a_whole_one_does_and_repeats_nothing(tmp_path, jobs, capsys):
    assert search(tmp_path / "whole", 5) == 0
    assert jobs.launched == [*range(5)]
    assert [search(tmp_path / "parts", trials) for trials in (3, 5, 5)] == [0, 0, 0]
    assert jobs.launched[5:] == [*range(5)]
    assert values(tmp_path / "whole") == values(tmp_path / "parts")
    assert {job["evaluation.split"] for job in values(tmp_path / "whole")} == {"dev"}
    best = max(open_sweep(tmp_path / "whole").jobs, key=lambda job: job.objective)
    assert f"best     job {best.number}, " in capsys.readouterr().out


def test_trials_that_fail_end_no_study_and_are_run_again_by_the_next_call(tmp_path, jobs):
    jobs.fail = {1, 2, 4}
    search(tmp_path / "search", 6, "hydra.sweeper.n_jobs=2")
    assert jobs.launched == [0, 1, 2, 3, 4, 5]
    planned, jobs.launched, jobs.fail = values(tmp_path / "search"), [], set()
    search(tmp_path / "search", 6, "hydra.sweeper.n_jobs=2")
    assert jobs.launched == [1, 2, 4]
    assert values(tmp_path / "search") == planned


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["judge=none", "evaluation=none"], "looks for the highest win rate, and these runs have none"),
        (["hydra.sweeper.n_trials=0"], "n_trials and n_jobs are 1 or more"),
        (["hydra.sweeper.direction=up"], "direction is maximize or minimize"),
    ],
)
def test_what_cannot_be_searched_is_refused(arguments, said, tmp_path, jobs, capsys):
    assert search(tmp_path / "search", 2, *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "search").exists()


def test_nothing_to_search_is_refused(tmp_path, capsys):
    assert main(["-m", "hydra/sweeper=optuna", f"run.dir={tmp_path / 'search'}", "loss.alpha=1"]) == 2
    assert "has nothing to search" in capsys.readouterr().err


def test_a_folder_is_of_one_search(tmp_path, jobs, capsys):
    assert search(tmp_path / "search", 1) == 0
    assert search(tmp_path / "search", 2, "iterations=1", "loss.alpha=1") == 2
    assert "holds a sweep that differs in iterations, loss.alpha:" in capsys.readouterr().err
    assert len(values(tmp_path / "search")) == 1


@pytest.mark.slow
def test_eight_trials_of_a_study_that_was_killed_once(tmp_path):
    arguments = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=8", *SEARCHED, *JUDGED]
    first = Command(tmp_path / "search", arguments)
    first.until(lambda: [*(tmp_path / "search").glob("3_*/round_0")])
    os.kill(first.process.pid, signal.SIGKILL)
    first.ended()
    before = open_sweep(tmp_path / "search").jobs
    assert [job.status for job in before] == [Status.FINISHED] * 3 + [Status.MISSING]
    again = Command(tmp_path / "search", arguments)
    assert again.ended() == 0, again.output()
    after = open_sweep(tmp_path / "search").jobs
    assert after[:3] == before[:3]
    assert len({str(job.overrides) for job in after}) == 8
    assert {job.status for job in after} == {Status.FINISHED}
    assert all(job.objective is not None for job in after)
