"""What `icr export` takes for a GGUF file to convert, by names alone."""

from __future__ import annotations

import pytest

from icr.errors import ConfigError
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
