"""A full disk at any write of a run: nothing half-written is trusted, and the rerun goes on from what was complete."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from icr.rundir import Key, RunDirectory, Table
from icr.terminal import system_error
from icr.types import Prompt

KEYS = {stage: Key({}, {}) for stage in ("round_0/pairs", "round_0/rewards", "round_0/model")}
PROMPTS = [Prompt(str(number), "en", "", "") for number in range(3)]


@dataclass(frozen=True)
class Row:
    id: str
    language: str = "en"


class Full:
    """Writes half of what it should, and then finds the disk full, until there is room."""

    def __init__(self, monkeypatch):
        self.room = False
        write = Table.write
        monkeypatch.setattr(Table, "write", lambda table, path, rows: self.check(path) or write(table, path, rows))

    def check(self, path: Path) -> None:
        if not self.room:
            path.write_bytes(b"PAR1 half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.fixture
def disk(monkeypatch) -> Full:
    return Full(monkeypatch)


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_table(disk, tmp_path):
    def make():
        return RunDirectory(tmp_path, KEYS).rows("round_0/pairs", Table(Row), lambda: [Row("1")])

    with pytest.raises(OSError, match="No space left"):
        make()
    assert everything_in(tmp_path) == {"manifest.json"}
    assert not RunDirectory(tmp_path, KEYS).complete("round_0/pairs")
    disk.room = True
    assert make() == [Row("1")]
    assert RunDirectory(tmp_path, KEYS).complete("round_0/pairs")


def test_a_table_in_parts_keeps_the_finished_ones(disk, tmp_path):
    made = []

    def part(prompts):
        (number,) = (int(prompt.id) for prompt in prompts)
        disk.room = disk.room or number == 0
        made.append(number)
        return [Row(str(number))]

    def make():
        return RunDirectory(tmp_path, KEYS).rows_by_prompt("round_0/rewards", Table(Row), PROMPTS, 1, part)

    disk.check = lambda path, check=disk.check: (check(path), setattr(disk, "room", False))[1]
    with pytest.raises(OSError, match="No space left"):
        make()
    assert made == [0, 1]
    disk.check = lambda path: None
    assert make() == [Row("0"), Row("1"), Row("2")]
    assert made == [0, 1, 1, 2]
    assert everything_in(tmp_path) == {"manifest.json", "round_0/rewards.parquet"}


def test_a_model_folder(tmp_path):
    @dataclass
    class Model:
        room: bool

        def save(self, folder: Path) -> None:
            (folder / "config.json").write_text("{}")
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "model.safetensors"))

    with pytest.raises(OSError, match="No space left"):
        RunDirectory(tmp_path, KEYS).folder("round_0/model", lambda: Model(room=False))
    assert everything_in(tmp_path) == {"manifest.json"}
    made = RunDirectory(tmp_path, KEYS).folder("round_0/model", lambda: Model(room=True))
    assert everything_in(made) == {"config.json"}


def test_the_manifest_itself(monkeypatch, tmp_path):
    """The stage is in place, but the manifest does not say so: it is made again."""
    store = RunDirectory(tmp_path, KEYS)

    def full(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "_save_manifest", lambda self: full(self.path / "manifest.json", None))
        with pytest.raises(OSError, match="No space left"):
            store.rows("round_0/pairs", Table(Row), lambda: [Row("1")])
    again = RunDirectory(tmp_path, KEYS)
    assert not again.complete("round_0/pairs")
    assert again.rows("round_0/pairs", Table(Row), lambda: [Row("2")]) == [Row("2")]


def test_the_message_names_the_file_and_what_to_do():
    message = system_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/round_0/model"))
    assert message == (
        "The disk is full (run/round_0/model): No space left on device. Nothing half-written is trusted; free some "
        "space, and the same command on the same run.dir goes on from the last complete stage."
    )


def test_other_errors_of_the_system_are_told_as_they_are():
    assert "cannot be used: Permission denied" in system_error(PermissionError(errno.EACCES, "Permission denied", "x"))
    assert system_error(OSError("odd")) == "odd"
