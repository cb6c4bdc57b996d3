"""Sweeps on this machine: what becomes of the others when one job is killed or refused, and what a rerun does."""

from __future__ import annotations

import os
import re
import signal

import psutil
import pytest

from icr.rundir.sweeps import Job, Status, open_sweep, write_end, write_plan
from tests.run.sweeping import TWO, UNJUDGED, Command, ran

FINISHED, FAILED, KILLED, MISSING = Status


def test_a_killed_job_leaves_the_others_alone_and_a_rerun_completes_it_alone(tmp_path):
    arguments = [*TWO, "loss.alpha=0,1", *UNJUDGED]
    (tmp_path / "elsewhere").mkdir()
    first = Command(tmp_path / "sweep", arguments)
    first.kill_job(1, ".lock.json")
    assert first.ended() == 2
    sweep = open_sweep(tmp_path / "sweep")
    assert [job.status for job in sweep.jobs] == [FINISHED, KILLED]
    assert sweep.axes == ["loss.alpha"]
    assert sweep.jobs[1].error == "killed by signal 9 (SIGKILL), perhaps out of memory"
    output = first.output()
    assert "icr: job 1 loss.alpha=1: killed by signal 9 (SIGKILL)" in output
    assert "1 of 2 jobs have not finished" in output
    assert f"sweep    {tmp_path / 'sweep'}" in output
    assert "[0 loss.alpha=0] round_0: " in output
    assert (tmp_path / "sweep/sweep.html").is_file()

    again = Command(tmp_path / "elsewhere" / ".." / "sweep", arguments)
    assert again.ended() == 0, again.output()
    assert ran(again.output()) == {1}
    assert "job 0: finished already" in again.output()
    assert [job.status for job in open_sweep(tmp_path / "sweep").jobs] == [FINISHED, FINISHED]


def test_ctrl_c_ends_the_jobs_too(tmp_path):
    sweep = Command(tmp_path / "sweep", ["loss.alpha=0,1", *UNJUDGED])
    sweep.until(sweep.jobs)
    jobs = sweep.jobs()
    os.kill(sweep.process.pid, signal.SIGINT)
    assert sweep.ended(60) == 130, sweep.output()
    assert "The same command on the same run.dir goes on from here." in sweep.output()
    assert not psutil.wait_procs(jobs, timeout=5)[1]
    assert [job.status for job in open_sweep(tmp_path / "sweep").jobs] == [MISSING, MISSING]


def test_a_word_that_another_plans_job_has_left_is_not_this_ones(tmp_path):
    job = Job(0, "0_loss.alpha=0", {"loss.alpha": "0"})
    write_plan(tmp_path, [job])
    write_end(tmp_path, Job(0, job.folder, {"loss.alpha": "0", "seed": "1"}, Status.FINISHED))
    assert open_sweep(tmp_path).jobs == [job]


def test_torchrun_starts_no_sweep(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    sweep = Command(tmp_path / "sweep", ["loss.alpha=0,1", *UNJUDGED])
    assert sweep.ended() == 2
    assert "torchrun cannot start a sweep" in sweep.output()
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_of_six_jobs_with_one_killed_five_finish_and_the_rerun_runs_the_sixth(tmp_path):
    """The killed one was making a stage for which another waited."""
    arguments = [*TWO, "seed=0,1", "loss.alpha=0,0.5,1", *UNJUDGED, "data.prompts_per_language=16", "sampling.n=4"]
    first = Command(tmp_path / "six", arguments)
    first.until(lambda: "which makes the same" in first.output())
    killed = int(re.search(r"waiting for process \d+ .*/(\d)_", first.output())[1])
    first.kill_holder(killed)
    assert first.ended() == 2
    ends = [FINISHED] * 6
    ends[killed] = KILLED
    assert [job.status for job in open_sweep(tmp_path / "six").jobs] == ends
    assert ran(first.output()) == {0, 1, 2, 3, 4, 5}
    again = Command(tmp_path / "six", arguments)
    assert again.ended() == 0, again.output()
    assert ran(again.output()) == {killed}
    assert {job.status for job in open_sweep(tmp_path / "six").jobs} == {FINISHED}


@pytest.mark.slow
def test_a_launcher_that_gives_up_leaves_a_table(tmp_path):
    sweep = Command(tmp_path / "sweep", [*TWO, "loss.alpha=0,1", *UNJUDGED])
    sweep.until(lambda: len(sweep.jobs()) == 2)
    jobs = sweep.jobs()
    os.kill(jobs[0].ppid(), signal.SIGKILL)
    assert sweep.ended() == 2
    assert "Traceback" not in sweep.output()
    assert "icr: JoblibLauncher: " in sweep.output()
    assert "2 of 2 jobs have not finished" in sweep.output()
    assert not psutil.wait_procs(jobs, timeout=5)[1]


@pytest.mark.slow
def test_jobs_end_with_a_sweep_that_is_killed(tmp_path):
    sweep = Command(tmp_path / "sweep", [*TWO, "loss.alpha=0,1", *UNJUDGED])
    sweep.until(lambda: len(sweep.jobs()) == 2)
    jobs = sweep.jobs()
    os.kill(sweep.process.pid, signal.SIGKILL)
    assert not psutil.wait_procs(jobs, timeout=20)[1]
