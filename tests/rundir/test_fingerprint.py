"""What a model is known by: all that loading may read of a folder, and the revision of a hub's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from icr.rundir import fingerprint

FILES = ("config.json", "model.safetensors", "merges.txt", "vocab.txt", "tokenizer.model", "qwen.tiktoken")
COMMITS = ("a" * 40, "b" * 40)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with one byte in each file."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text("1")
    return folder


@pytest.mark.parametrize(
    "name",
    [*FILES, "generation_config.json", "modeling_own.py", "own/attention.py", "additional_chat_templates/tools.jinja"],
)
def test_all_that_loading_may_read_counts(model: Path, name: str):
    before = fingerprint.of_model(str(model))
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("2")
    changed = fingerprint.of_model(str(model))
    assert changed != before
    (model / name).rename(model / "renamed.json")
    assert fingerprint.of_model(str(model)) not in (before, changed)


@pytest.mark.parametrize(
    "name",
    ["README.md", "pytorch_model.bin", "model.Q4.gguf", ".git/config.py", "checkpoint-10/model.safetensors"],
)
def test_what_loading_never_reads_does_not(model: Path, name: str):
    before = fingerprint.of_model(str(model))
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("2")
    assert fingerprint.of_model(str(model)) == before


def in_cache(folder: Path, name: str, commit: str, file: str, text: str = "{}") -> None:
    """What the hub's client leaves when it has got a file of `main` as it was at a commit."""
    model = folder / f"models--{name.replace('/', '--')}"
    for path, content in ((model / "refs/main", commit), (model / "snapshots" / commit / file, text)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.fixture
def cache(monkeypatch, tmp_path: Path) -> Path:
    """An empty cache of the hub, of which nothing has been asked yet."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(fingerprint, "_revision", fingerprint._revision.__wrapped__)
    monkeypatch.setattr(fingerprint, "_hub_base", fingerprint._hub_base.__wrapped__)
    return tmp_path / "hub"


def test_a_model_of_a_hub_is_known_by_its_revision(cache: Path):
    for commit in COMMITS:
        in_cache(cache, "owner/name", commit, "config.json")
        assert fingerprint.of_model("owner/name") == f"hub:owner/name@{commit}"
    shutil.rmtree(cache)
    assert fingerprint.of_model("owner/name") == "hub:owner/name"


def test_an_adapter_of_a_hub_is_known_by_its_model_too(cache: Path, monkeypatch, model: Path):
    monkeypatch.setattr(fingerprint, "_hub_base", lambda name: str(model) if name == "owner/adapter" else None)
    in_cache(cache, "owner/adapter", COMMITS[0], "adapter_config.json")
    known = fingerprint.of_model("owner/adapter")
    assert known == f"hub:owner/adapter@{COMMITS[0]} on {fingerprint.of_model(str(model))}"


def test_equal_numbers_have_one_hash():
    """`loss.alpha=1` is the default's 1.0."""
    assert fingerprint.of_value({"alpha": [1, 2.5]}) == fingerprint.of_value({"alpha": [1.0, 2.5]})
    assert fingerprint.of_value(1) != fingerprint.of_value(1.5)
    assert fingerprint.of_value(1) != fingerprint.of_value("1")
