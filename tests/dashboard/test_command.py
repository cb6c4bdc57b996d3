"""`icr dashboard`: without login or network where it can be, and a paragraph of what is wrong where it is."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb

from icr.dashboard import Subject, default_subject, job, specification, subject_of
from icr.dashboard.__main__ import main
from icr.errors import RunError
from icr.rundir.sweeps import Job, write_plan
from tests.dashboard.specification import plotted

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")  # In W&B's library.
ROOT = Path(__file__).parents[2]
ALONE = """
import socket, sys
def refuse(*arguments, **options):
    raise AssertionError("the network is asked")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
from icr.cli import main
sys.exit(main(sys.argv[1:]))
"""


def command(home: Path, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process in which nobody is logged in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    environment = {**kept, "HOME": str(home), "NETRC": str(home / "netrc"), "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-c", program, "dashboard", *arguments],
        cwd=home, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def folder_of(path: Path, **values: object) -> Path:
    """A run directory that tells its settings, as one does that has just begun."""
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(json.dumps(values), encoding="utf-8")
    return path


def test_a_dry_run_asks_no_network_and_is_the_same_every_time(tmp_path):
    runs = [command(tmp_path, ALONE, "--dry-run", f"{seed}.json", PYTHONHASHSEED=seed) for seed in ("1", "2")]
    assert [(run.returncode, run.stdout, run.stderr) for run in runs] == [(0, "1.json\n", ""), (0, "2.json\n", "")]
    written = [(tmp_path / f"{seed}.json").read_bytes() for seed in ("1", "2")]
    assert written[0] == written[1]
    assert json.loads(written[0]) == specification(default_subject())


def test_nobody_is_logged_in(tmp_path):
    ended = command(tmp_path, ALONE, "--entity", "team")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "icr: icr dashboard needs a login with W&B" in ended.stderr
    assert "`wandb login`" in ended.stderr
    assert "--dry-run FILE" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_login_without_a_default_entity_needs_one_named(monkeypatch, capsys):
    monkeypatch.setattr(wandb, "Api", lambda: SimpleNamespace(default_entity=None))
    assert main(["--languages", "en"]) == 2
    assert "--entity" in capsys.readouterr().err


def test_a_server_that_does_not_answer(monkeypatch, capsys):
    def api():
        raise wandb.errors.CommError("no route to host")

    monkeypatch.setattr(wandb, "Api", api)
    assert main(["--languages", "en"]) == 2
    assert capsys.readouterr().err == "icr: W&B cannot be reached (no route to host).\n"


def test_a_run_tells_what_it_is_about(tmp_path):
    run = folder_of(
        tmp_path / "run",
        langs={"codes": ["en", "th"]},
        logger={"project": "mine", "entity": "us"},
        evaluation={"reward_prompts": {"english": {}}},
    )
    assert subject_of(run) == Subject(["en", "th"], ["english"], "mine", "us", swept=[])
    assert main([str(run), "--dry-run", str(tmp_path / "out.json"), "--entity", "team", "--project", "other"]) == 0
    document = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert (document["workspace"]["entity"], document["workspace"]["project"]) == ("team", "other")
    assert document["report"]["project"] == {"name": "other", "entityName": "team"}
    assert "th/eval/win_rate" in plotted(document).history


def test_a_sweep_tells_its_settings_and_shows_its_jobs_alone(tmp_path):
    sweep, jobs = tmp_path / "alphas", []
    for number, (alpha, seed, loss) in enumerate([(0.0, 0, "DPO"), (1.0, 0, "DPO"), (1.0, 1, "KTO")]):
        loss_settings = {"_target_": f"icr.losses.{loss}", "alpha": alpha}
        folder_of(sweep / f"{number}", langs={"codes": ["en", "sw"]}, seed=seed, loss=loss_settings)
        overrides = {"loss.alpha": str(alpha), "seed": str(seed), "loss": loss.lower(), "+odd": f"[{number}]"}
        jobs.append(Job(number, f"{number}", overrides))
    write_plan(sweep, [*jobs, Job(3, "3", {"loss.alpha": "2.0", "seed": "0", "loss": "dpo"})])  # It has not begun.
    subject = subject_of(sweep)
    assert subject == Subject(["en", "sw"], [], "icr", "", "alphas", ["loss.alpha", "seed", "loss._target_"])
    document = specification(subject)
    runs = document["workspace"]["spec"]["section"]["runSets"][0]
    assert [key["name"] for key in runs["grouping"]] == ["loss.value.alpha", "loss.value._target_"]
    grids = [block for block in document["report"]["spec"]["blocks"] if block["type"] == "panel-grid"]
    for runset in [runs, *(runset for grid in grids for runset in grid["metadata"]["runSets"])]:
        (condition,) = runset["filters"]["filters"]
        assert (condition["key"], condition["op"], condition["value"]) == (
            {"section": "run", "name": "group"}, "=", "alphas",
        )  # fmt: skip
        assert "project" not in runset, "the server would be asked for its id"
    assert "loss._target_" in plotted(document).config
    assert document["workspace"]["displayName"] == "icr: alphas"


def test_a_sweep_of_which_no_job_has_begun(tmp_path):
    write_plan(tmp_path, [Job(0, "0", {"loss.alpha": "1"})])
    with pytest.raises(RunError, match="none of the sweep's 1 jobs has begun"):
        subject_of(tmp_path)


def test_languages_in_place_of_a_run(tmp_path):
    assert main(["--languages", "en, bn", "--dry-run", str(tmp_path / "out.json")]) == 0
    history = plotted(json.loads((tmp_path / "out.json").read_text("utf-8"))).history
    assert {name.split("/")[0] for name in history if name.endswith("eval/judge_score")} == {"eval", "bn"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--languages", "en,swa"], "--languages: 'swa' is not a known language code. Did you mean sw?"),
        (["--languages", " , "], "--languages names none"),
        (["nowhere"], "nowhere is not a folder"),
        (["nowhere", "--languages", "en"], "--languages is read from the run's directory"),
        (["empty"], "empty holds no run"),
        (["silent"], "silent: config.yaml names no languages (langs.codes)"),
    ],
)
def test_mistakes_are_a_paragraph(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    folder_of(tmp_path / "silent", seed=0)
    assert main([*arguments, "--dry-run", "out.json"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"icr: {message}")
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out.json").exists()


def test_the_extra_is_named_where_it_is_missing(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert main(["--dry-run", str(tmp_path / "out.json")]) == 2
    assert "pip install 'icr[dashboards]'" in capsys.readouterr().err


def test_what_the_library_saves_is_what_a_dry_run_writes(monkeypatch, capsys):
    """The account is a stand-in: nobody is logged in where tests run. What is handed over is the library's own."""
    taken = []

    class Account:
        default_entity = "me"

    def save(part):
        taken.append(part._to_model().model_dump(mode="json", by_alias=True, exclude_none=True))

    from wandb_workspaces.reports.v2 import interface as reports
    from wandb_workspaces.workspaces import interface as workspaces

    monkeypatch.setattr(wandb, "Api", Account)
    for owner in (reports.Report, workspaces.Workspace):
        monkeypatch.setattr(owner, "save", save)
        monkeypatch.setattr(owner, "url", property(lambda part: f"at/{part.entity}"))
    job.dashboard(argparse.Namespace(run=None, languages="en,sw", project="", entity="", dry_run=None))
    assert capsys.readouterr().out == "workspace: at/me\nreport: at/me\n"
    assert {"workspace": taken[0], "report": taken[1]} == specification(Subject(["en", "sw"], entity="me"))
