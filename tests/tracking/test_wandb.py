"""W&B tracking, really run, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from icr.dashboard import specification, subject_of
from icr.dashboard.subject import setting
from icr.errors import ConfigError
from icr.metrics import Figure, logged
from icr.rundir import Summary, open_run
from icr.tracking import About, WandbTracking
from tests.dashboard.specification import lines, plotted
from tests.report.fake_run import LANGUAGES, write_fake_run
from tests.tracking.offline import Offline, read

AXES = {"round", "global_step", "model", "samples"}
"""What is logged beside metrics."""
SECRETS = {"SOME_API_KEY": "s3cret-of-a-variable", "": "s3cret-of-a-key", "url": "s3cret-of-an-address"}


@pytest.fixture(autouse=True)
def _no_login(monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


def begun(directory: Path, run: About | None = None, **settings: object) -> WandbTracking:
    """An offline run that has begun."""
    tracking = WandbTracking(directory, project="icr-test", offline=True, **settings)
    tracking.begin(run or About(languages=["en", "sw"]))
    return tracking


def train(tracking: WandbTracking, round: int, steps: range, ratio: float = 0.0) -> None:
    """What a training logs."""
    loggers = tracking.loggers(round)
    for step in steps:
        for logger in loggers:
            metrics = {"loss": 10.0 * round + step, "sw/nll": 0.5, "logps/chosen_ratio": ratio}
            logger.log_metrics(metrics, step=step)
    for logger in loggers:
        logger.log_hyperparams({"api_key": "hush"})
        logger.finalize("success")


def test_offline_run_needs_no_account_and_holds_results_samples_and_pairs(tmp_path):
    directory = write_fake_run(tmp_path / "run")
    tracking = begun(
        directory, About({"reward_pair": {"policy": "dpo_en"}}, LANGUAGES, ["icr"]), group="sweep", tags=["x"]
    )
    tracking.loggers(0)[-1].paired()
    tracking.finish(open_run(directory).summary)
    found = read(directory)
    assert (found.group, found.tags) == ("sweep", ["icr", "x"])
    assert "win_rate/M1/mean" in found.summary
    tables = [row for row in found.history if "samples" in row]
    assert [(row["round"], row["samples"]["nrows"]) for row in tables] == [(0, 160), (1, 160)]
    rows = json.loads((found.folder / "files" / tables[0]["samples"]["path"]).read_text("utf-8"))
    columns = {name: [row[n] for row in rows["data"]] for n, name in enumerate(rows["columns"])}
    assert {columns["language"].count(code) for code in LANGUAGES} == {20}
    shown = set(zip(columns["id"], columns["language"], columns["k"], strict=True))
    pairs = open_run(directory).table(0, "pairs")
    for role in ("chosen", "rejected"):
        paired = {key for key in zip(pairs["id"], pairs["language"], pairs[f"{role}_k"], strict=True) if key in shown}
        roles = zip(columns["id"], columns["language"], columns["k"], columns["role"], strict=True)
        assert {(id, language, k) for id, language, k, of in roles if of == role} == paired
        assert len(paired) > 8
    kept = [artifact for artifact in found.artifacts if artifact["type"] == "dataset"]
    assert [(artifact["name"], artifact["metadata"]["round"]) for artifact in kept] == [("pairs", 0), ("pairs", 1)]
    assert kept[1]["metadata"]["sampled_by"] == "round_0/model"
    assert kept[1]["metadata"]["reward_pair"] == {"policy": "dpo_en"}
    assert "round_1" in kept[1]["aliases"]


def test_samples_and_pairs_can_be_kept_to_oneself(tmp_path):
    directory = write_fake_run(tmp_path / "run")
    tracking = begun(directory, samples=0, pairs=False)
    tracking.finish(open_run(directory).summary)
    assert not read(directory).artifacts
    assert not read(directory).history


def test_rounds_are_on_one_axis_and_models_on_another(tmp_path):
    tracking = begun(tmp_path)
    tracking.measured({"eval/win_rate": 50.0, "sw/eval/win_rate": float("nan")}, 0)
    train(tracking, 0, range(3))
    tracking.measured({"eval/win_rate": 60.0}, 1)
    train(tracking, 1, range(2))
    tracking.finish(Summary())
    found = read(tmp_path)
    assert [row for row in found.history if "loss" in row] == [
        {"loss": 10.0 * r + s, "sw/nll": 0.5, "logps/chosen_ratio": 0, "round": r, "global_step": 3 * r + s}
        for r, steps in ((0, 3), (1, 2))
        for s in range(steps)
    ]
    models = [{"eval/win_rate": 50, "model": 0}, {"eval/win_rate": 60, "model": 1}]
    assert [row for row in found.history if "model" in row] == models
    assert found.axes["*"] == "global_step"
    assert found.axes["eval/win_rate"] == found.axes["sw/eval/win_rate"] == "model"


def test_a_training_that_goes_on_logs_what_is_new(tmp_path):
    """Killed after step 3 of round 1, whose last checkpoint is of step 2."""
    first = begun(tmp_path / "first")
    first.measured({"eval/win_rate": 50.0}, 0)
    train(first, 0, range(3))
    first.measured({"eval/win_rate": 55.0}, 1)
    train(first, 1, range(4), ratio=-3.0)
    first.abort()
    (own,) = (tmp_path / "first/wandb").glob("offline-run-*")
    own.rename(tmp_path / "wandb of the first attempt")
    second = begun(tmp_path / "first")
    second.measured({"eval/win_rate": 50.0}, 0)
    second.measured({"eval/win_rate": 55.0, "eval/lc_win_rate": 54.0}, 1)
    train(second, 1, range(2, 6), ratio=-3.0)
    train(second, 2, range(2))
    second.finish(Summary())
    assert second.run.id == first.run.id
    found = read(tmp_path / "first")
    assert [row["global_step"] for row in found.history if "loss" in row] == [7, 8, 9, 10]
    assert [row for row in found.history if "model" in row] == [{"eval/lc_win_rate": 54, "model": 1}]
    assert not found.alerts, "the first attempt has alerted"


def test_what_was_logged_of_a_step_before_it_was_taken_does_not_stand_for_it(tmp_path):
    """Killed between the figures of a round and its first step."""
    first = begun(tmp_path)
    for logger in first.loggers(0):
        logger.log_metrics({"pairs/count": 3.0}, step=0)
    first.abort()
    (own,) = (tmp_path / "wandb").glob("offline-run-*")
    own.rename(tmp_path / "wandb of the first attempt")
    second = begun(tmp_path)
    for logger in second.loggers(0):
        logger.log_metrics({"pairs/count": 3.0}, step=0)
        logger.log_metrics({"loss": 1.0}, step=0)
    second.finish(Summary())
    assert read(tmp_path).history == [{"loss": 1, "round": 0, "global_step": 0}]


def test_chosen_responses_that_become_less_likely_alert_once_a_round(tmp_path):
    tracking = begun(tmp_path)
    train(tracking, 0, range(30), ratio=-3.0)
    train(tracking, 1, range(3), ratio=-0.5)
    train(tracking, 2, range(3), ratio=-2.0)
    tracking.measured({"sw/eval/repetition_rate": 50.0}, 1)
    tracking.finish(Summary())
    titles = [title for title, _ in read(tmp_path).alerts]
    falls = [f"round {round}: chosen responses become less likely" for round in (0, 2)]
    assert titles == [*falls, "M0: answers that run in circles"]


def test_online_without_a_login_is_refused_clearly(tmp_path, monkeypatch):
    import wandb

    def refuse(**_):
        raise wandb.errors.UsageError("No API key configured")

    monkeypatch.setattr(wandb, "init", refuse)
    arguments = list(sys.argv)
    with pytest.raises(ConfigError, match=r"No API key configured.*logger\.offline=true"):
        WandbTracking(tmp_path, project="icr-test").begin(About())
    assert sys.argv == arguments


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Offline]:
    """A whole run of two rounds, with evaluation and diagnosis, that was given secrets in several places."""
    directory = tmp_path_factory.mktemp("whole") / "run"
    arguments = [
        *("langs=[en,sw]", "iterations=2", "loss=kto", "trainer.max_steps=2", "diagnosis.identify=true"),
        *("data.prompts_per_language=4", "sampling.n=3", "evaluation.prompts.prompts_per_language=4"),
        "+evaluation.language_check={_target_: icr.rounds.LanguageGate, languages: [en,sw]}",
        f"+model.shape={{model_type: llama, api_key: {SECRETS['']}, note: {SECRETS['SOME_API_KEY']}}}",
        f"logger.tags=['http://me:{SECRETS['url']}@host']",
    ]
    command = [
        sys.executable,
        "-m",
        "icr.run",
        f"run.dir={directory}",
        "logger=wandb",
        "logger.offline=true",
        *arguments,
    ]
    environment = {**os.environ, "SOME_API_KEY": SECRETS["SOME_API_KEY"], "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stderr
    return directory, read(directory)


def test_what_a_run_logs_is_in_the_list_and_the_list_is_what_it_logs(whole):
    directory, found = whole
    listed = set(logged(["en", "sw"], open_run(directory).summary.reward_accuracy))
    assert found.logged - AXES <= listed
    # The embedded judge scores answers one by one, so that there are no orders, and its prompts have no difficulty.
    absent = (Figure.FLIP_RATE, Figure.ORDER_KAPPA, Figure.LC_WIN_RATE_SE)
    assert listed - found.logged == {name for figure in absent for name in _names(figure)}


def test_a_run_logs_each_step_at_its_place(whole):
    rows = whole[1].history
    steps = [(row["round"], row["global_step"]) for row in rows if "loss" in row]
    assert steps == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert [(row["round"], row["global_step"]) for row in rows if "pairs/count" in row] == [(0, 0), (1, 2)]
    assert [row["model"] for row in rows if "eval/win_rate" in row] == [0, 1, 2]
    summary = open_run(whole[0]).summary
    assert [row["eval/tokens"] for row in rows if "eval/tokens" in row] == pytest.approx(
        [summary.model(name).figure("tokens") for name in ("dpo_en", "M0", "M1")]
    )
    counts = summary.rounds[1]
    (last,) = [row for row in rows if row.get("pairs/count") and row["round"] == 1]
    assert last["pairs/count"] == sum(counts.pairs.values())
    assert last["sw/pairs/chosen_reward"] == pytest.approx(counts.chosen_reward["sw"])
    assert last["pairs/alpha_len"] == pytest.approx(sum(counts.alpha.values()) / 2)


def test_a_run_says_what_it_is(whole):
    directory, found = whole
    assert {"icr", "kto", "implicit", "pocket", "en", "sw"} <= set(found.tags)
    assert found.config["loss"]["_target_"] == "icr.losses.KTO"
    assert found.config["model"]["shape"] == {"model_type": "llama", "api_key": "<hidden>", "note": "<hidden>"}
    assert "http://host" in found.tags
    first, second = (artifact["metadata"] for artifact in found.artifacts if artifact["name"] == "pairs")
    assert second["sampled_by"] == "round_0/model"
    assert first["sampled_by_version"] != second["sampled_by_version"]
    assert first["prompts_hash"] == second["prompts_hash"]
    stages = json.loads((directory / "manifest.json").read_text())["stages"]
    assert first["files"] == stages["round_0/pairs"]["files"]


def test_no_file_of_it_holds_a_secret(whole):
    files = [path for path in (whole[0] / "wandb").rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in SECRETS.values() if secret.encode() in content], path


def test_a_dashboard_plots_nothing_that_a_run_does_not_log(whole):
    directory, found = whole
    subject = subject_of(directory)
    assert (subject.languages, subject.project) == (["en", "sw"], "icr")
    document = specification(subject)
    shown = plotted(document)
    assert shown.history | shown.tables <= found.logged
    assert shown.summary <= found.summary.keys()
    assert [key for key in shown.config if setting(found.config, key) is None] == []
    # A line has a point where its value and its place were logged together.
    places = {(key, axis) for row in found.history for key in row for axis in AXES & row.keys()}
    assert {(key, axis) for axis, keys in lines(document) for key in keys} <= places


def _names(figure: Figure) -> list[str]:
    return [figure.logged, figure.of("en"), figure.of("sw")]
