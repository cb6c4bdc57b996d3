"""What `icr export` takes for a GGUF file to convert; and what it leaves tells nothing of the machine."""

from __future__ import annotations

import pytest

from icr.errors import ConfigError
from icr.export.__main__ import main
from icr.export.gguf import to_convert
from icr.rundir import Layout


def test_a_file_and_the_folder_of_one(tmp_path):
    file = tmp_path / "model.GGUF"
    assert to_convert(tmp_path) is None
    file.touch()
    (tmp_path / "README.md").touch()
    assert to_convert(file) == to_convert(tmp_path) == str(file)
    assert to_convert(tmp_path / "not there.gguf") == str(tmp_path / "not there.gguf")


def test_several_in_a_folder_are_not_guessed_at(tmp_path):
    for name in ("b.gguf", "a.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=r"has 2 GGUF files; give one of them, such as .*/a\.gguf"):
        to_convert(tmp_path)


def test_a_run_stays_a_run(tmp_path):
    (tmp_path / "model.gguf").touch()
    Layout(tmp_path).manifest.touch()
    assert to_convert(tmp_path) is None


def test_nothing_of_this_machine_is_left(gguf_model, tmp_path, capsys):
    file = gguf_model(kind="Q8_0", hidden_size=32, intermediate_size=64)
    assert main([str(file.parent), "--to", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{file.name} (an ordinary model folder): {tmp_path}/out\n"
    assert (tmp_path / "out/tokenizer_config.json").is_file()
    for written in (tmp_path / "out").glob("*.json"):
        assert str(file.parent) not in written.read_text(encoding="utf-8")
        assert "is_local" not in written.read_text(encoding="utf-8")
