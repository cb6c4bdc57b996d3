"""The campaign of full disks: at every point it is said which disk is full, and with room the same command goes on.

Its sample, without a disk of its own, is `tests/cli/test_full_disk.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Program, pocket_pair, program  # noqa: F401 (fixtures)
from tests.faults.test_kills import EVALUATED, assert_same, settings, undisturbed  # noqa: F401

POINTS = 22
"""In how many steps the disk grows, from hardly anything to what a run leaves; then in larger ones."""

PLANS = {"DPO": ["loss=dpo", *EVALUATED], "LoRA": ["loss=dpo", "adapter=lora", "adapter.merge=true"]}


class Disk:
    """A file system in memory, of any size."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        self.mounted = self._mount("-t", "tmpfs", "-o", "size=64k", "none")

    def grow(self, size: int) -> None:
        """To so many bytes."""
        assert self._mount("-o", f"remount,size={size}")

    def close(self) -> None:
        """Give the memory back."""
        if self.mounted:
            subprocess.run(["umount", self.folder], check=True)

    def _mount(self, *options: str) -> bool:
        return (
            os.name == "posix" and not subprocess.run(["mount", *options, self.folder], capture_output=True).returncode
        )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of its own."""
    disk = Disk(tmp_path / "disk")
    if not disk.mounted:
        pytest.skip("only root may make a small disk: give the command as root, or after unshare -rm")
    yield disk
    disk.close()


def size(folder: Path) -> int:
    """Bytes below a folder, in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


@pytest.mark.faults
@pytest.mark.parametrize("name", PLANS)
def test_full_at_every_point(name, disk: Disk, program: Program, pocket_pair, undisturbed, count):  # noqa: F811
    whole, _ = undisturbed(PLANS[name])
    arguments, directory = settings(pocket_pair, PLANS[name]), disk.folder / "run"
    step, room, times = size(whole.directory) // (POINTS - 2), 65536, 0
    for number in range(2 * POINTS):
        room += step if number < POINTS else room // 5  # Two checkpoints at a time are many times the models.
        disk.grow(room)
        ended = program(directory, arguments)
        if ended.status == 0:
            break
        *_, last = ended.output.strip().splitlines()
        assert ended.status == 2, ended.output
        assert last.startswith("icr: The disk is full ("), ended.output
        assert str(disk.folder) in last, last
        assert "Traceback" not in ended.output
        for stage in (
            json.loads((directory / "manifest.json").read_text())["stages"].values() if directory.exists() else ()
        ):
            assert (directory / stage["output"]).exists()
        times += 1
        count("disk", "said to be full")
    assert ended.status == 0
    assert times >= 20
    assert_same(ended, whole, exact=True)
