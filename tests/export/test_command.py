"""`icr export`: what it leaves, what it refuses, and what it sends to a hub."""

from __future__ import annotations

import json
import shutil

import pytest
from huggingface_hub import constants

from icr.export import finished_run
from icr.export.__main__ import main
from tests.export.hub import TOKEN, running_hub

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing", "ignore:Could not find a config file")
"""Raised within peft, where the tests use it themselves."""


def refused(capsys, *arguments) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("icr: ")
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine, and somebody logged in to it; the client is the real one."""
    with running_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no login"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


def test_a_folder_with_everything_in_it(finished, tmp_path, capsys):
    run = finished()
    capsys.readouterr()
    assert main([str(run), "--to", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"M1 (a whole model): {tmp_path}/out\n"
    assert printed.err == ""
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= left
    assert "chat_template.jinja" in left
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_what_is_refused(finished, adapter, tmp_path, capsys):
    _, folder = adapter()
    run = finished(round_1=folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").touch()
    assert "is there already and not empty" in refused(capsys, run, "--to", tmp_path / "full")
    assert "holds no run" in refused(capsys, tmp_path / "full", "--to", tmp_path / "out")
    assert "complete rounds: 0, 1" in refused(capsys, run, "--to", tmp_path / "out", "--round", 7)
    assert "--private is about --push" in refused(capsys, run, "--to", tmp_path / "out", "--private")
    assert "--merge makes" in refused(capsys, run, "--to", tmp_path / "out", "--push", "me/model")
    assert "--push must be owner/name" in refused(capsys, run, "--to", tmp_path / "out", "--merge", "--push", "model")
    assert "--push: " in refused(capsys, run, "--to", tmp_path / "out", "--merge", "--push", "me/a b")
    assert not (tmp_path / "out").exists()


def test_what_fails_half_way_leaves_nothing(finished, adapter, tmp_path, capsys):
    base, folder = adapter()
    run = finished(round_1=folder)
    (base / "model.safetensors").unlink()
    assert "cannot be loaded" in refused(capsys, run, "--to", tmp_path / "out", "--merge")
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_a_push_sends_the_folder_and_never_shows_the_token(finished, hub, tmp_path, capsys):
    assert main([str(finished()), "--to", str(tmp_path / "out"), "--push", "me/m", "--private"]) == 0
    printed = capsys.readouterr()
    assert f"pushed: {hub.address}/me/m\n" in printed.out
    assert TOKEN not in printed.out + printed.err
    assert hub.asked.index("GET /api/whoami-v2") < hub.asked.index("POST /api/repos/create")
    (made,) = hub.created
    assert made["visibility"] == "private"
    assert hub.files == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert b'from_pretrained("me/m"' in hub.files["README.md"]
    assert not any(TOKEN.encode() in content for content in hub.files.values())


@pytest.mark.parametrize(
    ("token", "constant", "message"),
    [
        ("hf_wrong", {}, "the hub cannot be reached or refuses"),
        ("", {}, "--push needs a login: `hf auth login`"),
        (TOKEN, {"HF_HUB_OFFLINE": True}, "HF_HUB_OFFLINE forbids the network; unset it to push"),
        (TOKEN, {"ENDPOINT": "http://127.0.0.1:9"}, "the hub cannot be reached or refuses"),
    ],
)
def test_a_push_that_cannot_be_is_refused_first(token, constant, message, finished, hub, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token)
    for name, value in constant.items():
        monkeypatch.setattr(constants, name, value)
    printed = refused(capsys, finished(), "--to", tmp_path / "out", "--push", "me/m")
    assert message in printed
    assert "hf_" not in printed
    assert not (tmp_path / "out").exists()


def test_a_push_that_breaks_leaves_the_folder(finished, hub, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(hub, "refuses", "/commit/")
    assert main([str(finished()), "--to", str(tmp_path / "out"), "--push", "me/m"]) == 2
    assert "the hub cannot be reached or refuses" in capsys.readouterr().err
    assert (tmp_path / "out/model.safetensors").is_file()


def test_help_tells_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for option in (
        "--to",
        "--round",
        "--merge",
        "--dtype",
        "--shard-size",
        "--trust-remote-code",
        "--dataset",
        "--push",
        "--private",
    ):
        assert option in shown


CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM

Path({marker!r}).touch()


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def with_code(model_folder, tmp_path):
    """A model folder with code of its own, and the file that it makes when it runs."""
    folder, marker = shutil.copytree(model_folder(), tmp_path / "with_code"), tmp_path / "has run"
    settings = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "own", "auto_map": own}))
    (folder / "own.py").write_text(CODE.format(marker=str(marker)))
    return folder, marker


def test_a_run_directory_cannot_switch_on_code(finished, with_code, tmp_path, capsys):
    folder, marker = with_code
    run = finished("model.loader.trust_remote_code=true", round_1=folder)
    assert "icr: --trust-remote-code is not given" in refused(capsys, run, "--to", tmp_path / "out")
    assert not marker.exists()
    assert not (tmp_path / "out").exists()
    assert main([str(run), "--to", str(tmp_path / "out"), "--trust-remote-code"]) == 0
    assert marker.exists()
    assert (tmp_path / "out/model.safetensors").is_file()


def test_kernels_that_a_model_names_are_not_fetched(finished, model_folder, tmp_path):
    folder = shutil.copytree(model_folder(), tmp_path / "kernels")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"attn_implementation": "nobody/own-attention"}))
    assert main([str(finished(round_1=folder)), "--to", str(tmp_path / "out")]) == 0
    assert "attn" not in (tmp_path / "out/config.json").read_text()


def test_a_name_is_no_program(finished):
    run = finished("stage.result='M{round:>99999999999}{round.real}'")
    assert finished_run(run).name == "M{round:>99999999999}{round.real}"


def test_a_damaged_model_is_not_exported(finished, tmp_path, capsys):
    run = finished()
    weights = run / "round_1/model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert f"{weights} is damaged" in refused(capsys, run, "--to", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert main([str(run), "--to", str(tmp_path / "out"), "--round", "0"]) == 0
