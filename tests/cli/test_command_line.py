"""The command line: help that helps, and mistakes that end in one paragraph on standard error and exit code 2."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from icr import config
from icr.config.messages import options
from icr.run import __main__ as run
from icr.run import begin
from icr.rundir import atomic
from icr.rundir.sweeps import Status, open_sweep

NO_MODEL = "model.path=/nonexistent/policy"
"""Configuration mistakes are found before this one is."""

COMPOSITION = {
    "loss.alhpa=1": "loss.alhpa is not a setting. Did you mean loss.alpha?",
    "los=kto": "los is not a setting. Did you mean loss?",
    "trainer.precison=32-true": "trainer.precison is not a setting. Did you mean trainer.precision?",
    "optim.weight_decay=1": "Did you mean optim.optimizer.weight_decay?",
    "loss=nll loss.alpha=1": "loss.alpha is not a setting with loss=nll.",
    "loss=kot": "loss=kot: there is no such option. Did you mean kto? Options: dpo, dpo_norm, ipo, kto, ld_dpo, nll.",
    "langs=low_resouce": "Did you mean low_resource? Languages by their codes are a list: langs=[en,es]. Options: all",
    "langs=en,es": "langs=en,es: several values are a sweep, with -m, or a list, as in langs=[en,es].",
    "langs=en": "Languages by their codes are a list: langs=[en,es]. Options: all, english,",
    "langs=[en,ess]": "langs.codes: 'ess' is not a known language code.",
    "experiment=nope": "experiment=nope: there is no such option. Options: paper_1000_prompts, ",
    "cluster=slrum": "cluster=slrum: there is no such option. Did you mean slurm? Options: ray, slurm.",
    "loss=null": "groups take the name of an option, as in loss=dpo",
    "iterations": "Overrides are written key=value",
    "loss.beta=${iterations": "Overrides are written key=value",
    "+loss.beta=1": "An item is already at 'loss.beta'",
}


@pytest.fixture
def refuse(capsys, monkeypatch, tmp_path):
    """Runs the command in this process, and returns what it prints to standard error on its way to exit code 2."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(sys, "argv", ["icr"])
    monkeypatch.setattr(begin, "quiet", lambda: None)

    def call(*arguments: str, directory: Path = tmp_path / "run") -> str:
        try:
            code = run.main([f"run.dir={directory}", *arguments])
        except SystemExit as stopped:
            code = stopped.code
        printed = capsys.readouterr()
        assert code == 2
        assert "Traceback" not in printed.err
        assert printed.out == ""
        return printed.err

    return call


@pytest.mark.parametrize("overrides", COMPOSITION)
def test_mistyped_overrides(overrides, refuse):
    message = refuse(NO_MODEL, *overrides.split())
    assert message.startswith("icr: ")
    assert message.count("\n") == 1
    assert COMPOSITION[overrides] in message


def test_a_refused_setting_comes_before_the_model_and_leaves_nothing_behind(refuse, tmp_path):
    assert refuse(NO_MODEL, "loss.beta=0") == "icr: loss.beta must be above 0, got 0.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_bad_control_is_refused_before_the_run(refuse):
    assert "loss.beta must be above 0" in refuse(NO_MODEL, "+controls.bad=['loss.beta=0']")


def test_a_model_folder_that_does_not_exist(refuse, tmp_path):
    (tmp_path / "policy_8b").mkdir()
    message = refuse(f"model.path={tmp_path}/policy_8")
    assert f"The model folder {tmp_path}/policy_8 does not exist. Did you mean {tmp_path}/policy_8b?" in message


def test_a_reward_pair_of_different_vocabularies(refuse, model_folder, make_tokenizer, tmp_path, monkeypatch):
    other = make_tokenizer()
    other.add_tokens(["<tool>"])
    shutil.copytree(model_folder(), tmp_path / "other")
    other.save_pretrained(tmp_path / "other")
    monkeypatch.setattr("icr.models.whole.AutoModelForCausalLM", None)  # Nothing is loaded.
    pair = [f"model.path={model_folder()}", f"reward_pair.reference={tmp_path}/other"]
    message = refuse("data=parallel", f"data.dir={tmp_path}", *pair)
    assert "The reward pair has different vocabularies" in message
    assert "such as '<tool>'" in message


def test_a_prompt_file_that_is_missing(refuse, model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("icr.models.whole.AutoModelForCausalLM", None)
    (tmp_path / "en.jsonl").write_text('{"instruction_id": "a", "instruction": "Name a river."}\n')
    pair = [f"model.path={model_folder()}", f"reward_pair.reference={model_folder()}"]
    message = refuse("data=parallel", f"data.dir={tmp_path}", "langs.codes=[en,sw]", *pair)
    assert f"{tmp_path}/sw.jsonl does not exist; languages with a file in that folder: en." in message


def test_an_impossible_run_directory(refuse, tmp_path):
    (tmp_path / "file").write_text("")
    message = refuse(NO_MODEL, directory=tmp_path / "file" / "run")
    assert f"{tmp_path}/file/run cannot be used: Not a directory" in message
    assert "run.dir=<folder>" in message


def test_a_read_only_run_directory(refuse, monkeypatch):
    def read_only(self, **_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", read_only)
    message = refuse(NO_MODEL)
    assert "cannot be used: Read-only file system" in message
    assert "run.dir=<folder>" in message


def test_a_full_disk_says_that_the_same_command_goes_on(refuse, monkeypatch):
    def full(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(atomic, "write_json", full)
    message = refuse(NO_MODEL)
    assert "The disk is full" in message
    assert "lock.json" in message  # The first file that a run writes.
    assert "the same command on the same run.dir goes on from the last complete stage" in message


def printed(capsys, monkeypatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["icr"])
    with contextlib.suppress(SystemExit):  # Hydra's way out of --help
        assert run.main(arguments) == 0
    return capsys.readouterr().out


def test_help_shows_commands_groups_and_settings_with_what_they_mean(capsys, monkeypatch):
    shown = printed(capsys, monkeypatch, "--help")
    assert max(map(len, shown.splitlines())) <= 110
    for group in (path.name for path in config.conf_dir().iterdir() if path.is_dir()):
        assert f" {group} {' '.join(options(config.conf_dir(), group))} " in " ".join(shown.split()), group
    for text in ("icr run loss=kto langs=low_resource", "loss.beta=0.1 ", "loss.alpha=1.0 ", "seed=0 "):
        assert text in shown
    assert "strength of the tie to the reference" in shown
    assert "_target_" not in shown


def test_help_shows_the_settings_of_what_is_chosen(capsys, monkeypatch):
    shown = printed(capsys, monkeypatch, "--help", "loss=kto", "length_control=bytes", "data=parallel")
    assert "loss.desirable_weight=1.0" in shown
    assert "weight of the NLL on the desirable response" in shown
    assert "chosen must score below this" in shown
    assert "length_control.unit=bytes" in shown
    assert "data.dir=???" in shown


def test_cfg_job_prints_the_settings(capsys, monkeypatch):
    assert "desirable_weight: 1.0" in printed(capsys, monkeypatch, "loss=kto", "--cfg", "job")


def test_a_sweep_goes_on_after_a_refused_job_and_fails_in_the_end(tmp_path):
    swept = subprocess.run(
        [sys.executable, "-m", "icr.run", "-m", f"run.dir={tmp_path}", "loss.beta=0,-1", NO_MODEL],
        cwd=Path(run.__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert swept.returncode == 2
    assert "Traceback" not in swept.stderr
    assert re.search(r"icr: loss.beta=0\S*: loss.beta must be above 0, got 0\.", swept.stderr)
    assert re.search(r"icr: loss.beta=-1\S*: loss.beta must be above 0, got -1\.", swept.stderr)
    jobs = open_sweep(tmp_path).jobs
    assert [(job.status, job.error) for job in jobs] == [
        (Status.FAILED, "loss.beta must be above 0, got 0."),
        (Status.FAILED, "loss.beta must be above 0, got -1."),
    ]
    assert "2 of 2 jobs have not finished" in swept.stdout
