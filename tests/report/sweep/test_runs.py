"""`icr report run run …`: the settings in which runs differ become axes, and links lead to their pages."""

import pandas as pd
import pytest

from icr.errors import RunError
from icr.report.__main__ import main
from icr.report.sweep import as_sweep
from icr.rundir.sweeps import Job
from tests.report.sweep.fake_sweep import add, write_run, write_sweep_of


@pytest.fixture
def runs(tmp_path):
    settings = [
        {"loss": "dpo", "loss.alpha": "0.5", "seed": "0", "run.dir": "a"},
        {"loss": "dpo", "loss.alpha": "1.0", "seed": "0", "run.dir": "b"},
        {"loss": "dpo", "loss.alpha": "1", "seed": "1", "run.dir": "c"},
    ]
    for number, overrides in enumerate(settings):
        write_run(tmp_path / f"run {number}", {k: v for k, v in overrides.items() if k != "loss"})
        lines = "".join(f"- {key}={value}\n" for key, value in overrides.items())
        (tmp_path / f"run {number}/overrides.yaml").write_text(lines)
    return [tmp_path / f"run {number}" for number in range(3)]


def test_axes_are_the_settings_that_differ(runs, tmp_path):
    sweep = as_sweep(runs, tmp_path / "all")
    assert sweep.axes == ["loss.alpha", "seed"]
    assert [dict(job.overrides) for job in sweep.jobs] == [
        {"loss.alpha": "0.5", "seed": "0"},
        {"loss.alpha": "1", "seed": "0"},
        {"loss.alpha": "1", "seed": "1"},
    ]
    assert sweep.run(sweep.jobs[0]).samefile(runs[0])


def test_runs_that_recorded_no_overrides_are_compared_by_their_configuration(runs, tmp_path):
    for run in runs:
        (run / "overrides.yaml").unlink()
    assert as_sweep(runs, tmp_path / "all").axes == ["loss.alpha", "seed"]


def test_runs_and_sweeps_can_be_compared_and_a_missing_job_keeps_its_plan(runs, tmp_path):
    made = write_sweep_of(tmp_path / "sweep", {"loss.alpha": ["0", "2"], "seed": ["0"]})
    add(made, Job(2, "2_job", {"loss.alpha": "3", "seed": "0"}))
    sweep = as_sweep([*runs, tmp_path / "sweep"], tmp_path / "all")
    assert [job.overrides["loss.alpha"] for job in sweep.jobs] == ["0.5", "1", "1", "0", "2", "3"]
    assert [str(job.status) for job in sweep.jobs] == ["finished"] * 5 + ["missing"]


def test_the_command_compares_runs(runs, tmp_path, capsys):
    assert main([*map(str, runs), "--to", str(tmp_path / "deep/all")]) == 0
    assert "3 jobs, all finished." in capsys.readouterr().out
    page = (tmp_path / "deep/all/sweep.html").read_text(encoding="utf-8")
    assert 'href="../../run%200/report.html"' in page
    assert pd.read_csv(tmp_path / "deep/all/sweep.csv")["job"].nunique() == 3


def test_without_to_the_page_is_written_here(runs, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["../run 0", "../run 1"]) == 0
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"sweep.html", "sweep.csv"}


def test_mistakes_are_said(runs, tmp_path, capsys):
    with pytest.raises(RunError, match="is named twice"):
        as_sweep([runs[0], runs[0]], tmp_path)
    for arguments, message in (
        ([str(runs[0]), str(tmp_path / "nowhere")], "is not a folder"),
        ([*map(str, runs), "--picture", "out.svg"], "--picture draws one run"),
        ([str(runs[0]), "--to", str(tmp_path)], "--to is for the page of several runs"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
