"""The dashboard's specification: made without login or network, always the same, and of what is logged alone."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import wandb
from omegaconf import OmegaConf

from icr import metrics
from icr.config import conf_dir
from icr.dashboard import Subject, default_subject, job, sections, specification, subject_of
from icr.dashboard.__main__ import main
from icr.dashboard.panels import Differences, logged_keys, setting_keys
from icr.errors import RunError
from icr.rundir.sweeps import Job, write_plan
from tests.dashboard import page
from tests.dashboard.specification import panels, plotted

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")  # In W&B's library.
ROOT = Path(__file__).parents[2]
SUBJECT = Subject(languages=["en", "es", "sw"], reward_prompts=["crosslingual", "multilingual"])
AXES = {metrics.ROUND, metrics.GLOBAL_STEP, metrics.MODEL}
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


@pytest.fixture(scope="module")
def settings():
    """The composed configuration of a run in the embedded world."""
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("config")


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


def test_all_that_is_plotted_is_on_the_list_of_names():
    found = plotted(specification(SUBJECT))
    logged = {*metrics.logged(SUBJECT.languages, SUBJECT.reward_prompts)}
    assert found.history - AXES <= logged
    assert found.history >= AXES
    assert found.summary <= logged
    assert found.tables == {metrics.SAMPLES}
    assert len(found.history | found.summary) > 80


def test_a_panel_shows_what_documentation_says_of_it():
    """The panels of our own and the dumped ones have the same keys, in workspace and report alike."""
    document = specification(SUBJECT)
    shown = [panel for section in sections(SUBJECT) for panel in section.panels]
    ours = {key for panel in shown for key in logged_keys(panel)}
    settings = {key for panel in shown for key in setting_keys(panel)}
    for part in ("workspace", "report"):
        found = plotted(document[part])
        assert found.history | found.summary | found.tables == ours
        assert found.config == settings
        assert len([*panels(document[part])]) == len(shown)
    assert any(isinstance(panel, Differences) for panel in shown)


def test_the_page_lists_what_is_shown():
    assert page.PAGE.read_text("utf-8").partition(page.MARK)[2] == page.shown(), "python -m tests.dashboard.page"


def test_settings_that_are_plotted_are_settings(settings):
    swept = ["loss.beta", "seed", "loss._target_"]
    found = plotted(specification(Subject(["en", "sw"], swept=swept)))
    assert {"loss.alpha", "sampling.n", "data.prompts_per_language", "loss.beta"} <= found.config
    assert [key for key in found.config if OmegaConf.select(settings, key) is None] == []


@pytest.mark.parametrize("name", ["it's", 'a "b"', "α=1,2", "back\\slash", "a and b", "x in y", "x" * 200])
def test_any_name_of_a_sweep_is_taken(name):
    document = specification(Subject(["sw"], group=name))
    runs = document["workspace"]["spec"]["section"]["runSets"][0]
    assert runs["filters"]["filters"][0]["value"] == name
    assert len(document["report"]["displayName"]) <= 128


def test_no_two_panels_have_one_id():
    for subject in (SUBJECT, default_subject(), Subject(["sw"], [], swept=["loss.beta", "optim.lr"])):
        ids = [panel["__id__"] for panel in panels(specification(subject))]
        assert len(ids) == len(set(ids))


def test_sections_are_named_and_open_with_the_overview():
    workspace = specification(SUBJECT)["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    names = ["Overview", "Per language", "Rewards and lengths", "Training", "Sweep over α", "Sweep over sample counts"]
    assert [section["name"] for section in workspace] == [*names, "Alarms"]
    assert [section["isOpen"] for section in workspace] == [True] + [False] * 6
    blocks = specification(SUBJECT)["report"]["spec"]["blocks"]
    headings = [block["children"][0]["text"] for block in blocks if block["type"] == "heading"]
    assert headings == [*names, "Alarms"]
    grids = [block for block in blocks if block["type"] == "panel-grid"]
    assert len(grids) == len(headings)
    for grid in grids:
        placed = [panel["layout"] for panel in grid["metadata"]["panelBankSectionConfig"]["panels"]]
        assert len({(at["x"], at["y"]) for at in placed}) == len(placed)
        assert all(at["x"] + at["w"] <= 24 for at in placed)


def test_without_english_and_without_accuracy_there_is_nothing_of_them():
    found = plotted(specification(Subject(["es", "sw"], [])))
    assert not any(name.startswith(("en/", "accuracy/")) for name in found.history | found.summary)
    assert "es/eval/win_rate" in found.history
    assert "en/eval/win_rate" not in plotted(specification(SUBJECT)).history  # English is no target.


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
