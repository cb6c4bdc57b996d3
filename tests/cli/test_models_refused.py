"""Models that cannot be used are refused by every command in one paragraph, and before weights are loaded."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
from omegaconf import OmegaConf

from icr.config import conf_dir
from icr.doctor import __main__ as doctor
from icr.export.__main__ import main as export
from icr.run import __main__ as run
from icr.run import begin
from icr.rundir import Key, Layout, RunDirectory
from icr.rundir.layout import round_stages
from tests.report.fake_run import write_fake_run


def bad_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ raise_exception('Only French.') }}")


def unknown_family(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "llama9"}))


def of_other_kinds(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_attention_heads": "four"}))


FAULTS = {
    bad_template: "The chat template of {} cannot render a conversation: TemplateError: Only French. ",
    unknown_family: "The config.json of {} cannot be loaded: The checkpoint you are trying to load has model type "
    "`llama9`",
    of_other_kinds: "The config.json of {} cannot be loaded: StrictDataclassFieldValidationError, Validation error for "
    "field 'num_attention_heads'",
}


@pytest.fixture(params=FAULTS, ids=lambda fault: fault.__name__)
def fault(request, model_folder, tmp_path, monkeypatch):
    """A folder with something wrong, and what is said of it; a command that asks for weights fails otherwise."""
    folder = tmp_path / "policy"
    shutil.copytree(model_folder(), folder)
    request.param(folder)
    monkeypatch.setattr("icr.models.whole.AutoModelForCausalLM", None)
    monkeypatch.setattr(sys, "argv", ["icr"])
    for command in (run, doctor):
        monkeypatch.setattr(begin if command is run else command, "quiet", lambda: None)
    return folder, FAULTS[request.param]


def test_by_run(fault, model_folder, tmp_path, capsys):
    folder, message = fault
    pair = [f"model.path={folder}", f"reward_pair.reference={model_folder()}"]
    with pytest.raises(SystemExit) as end:
        run.main([f"run.dir={tmp_path / 'run'}", "data=parallel", f"data.dir={tmp_path}", *pair])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("icr: ")
    assert message.format(folder) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("word", ["check", "plan"])
def test_by_the_doctor(word, fault, model_folder, tmp_path, capsys, monkeypatch):
    folder, message = fault
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "2000")
    pair = [f"model.path={folder}", f"reward_pair.reference={model_folder()}"]
    try:
        status = doctor.main([word, "data=parallel", f"data.dir={tmp_path}", *pair])
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    assert status == (1 if word == "check" else 2)
    assert message.format(folder) in " ".join((said.out + said.err).split())
    assert "Traceback" not in said.out + said.err


def test_by_export(fault, tmp_path, capsys):
    folder, message = fault
    layout = Layout(write_fake_run(tmp_path / "run", rounds=1))
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = hydra.compose("config", ["experiment=paper_dpo", "data.dir=nowhere"])
    layout.config.write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")
    stage, model = round_stages(0).model, layout.round(0).model
    store = RunDirectory(layout.path, {stage: Key({}, {})})
    store.folder(stage, lambda: SimpleNamespace(save=partial(shutil.copytree, folder, dirs_exist_ok=True)))
    capsys.readouterr()
    assert export([str(layout.path), "--to", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("icr: ")
    assert said.count("\n") == 1
    assert message.format(model) in said
    assert not (tmp_path / "out").exists()
