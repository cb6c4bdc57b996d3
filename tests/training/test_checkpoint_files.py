"""Checkpoints are written beside their place, tensor by tensor, and run no code when they are read."""

from __future__ import annotations

import errno
import pickle
import resource
import signal
import tracemalloc
from pathlib import Path

import pytest
import torch

from icr.errors import RunError
from icr.training.checkpoint_files import StreamedCheckpoints

SIZE = 2_000_000
CONTENT = {"state_dict": {str(i): torch.full((SIZE,), float(i)) for i in range(4)}, "global_step": 7}
"""32 MB in four tensors."""


def test_what_is_written_is_read(tmp_path: Path):
    StreamedCheckpoints().save_checkpoint(CONTENT, tmp_path / "a.ckpt")
    again = StreamedCheckpoints().load_checkpoint(tmp_path / "a.ckpt")
    assert again["global_step"] == 7
    assert all(torch.equal(again["state_dict"][name], values) for name, values in CONTENT["state_dict"].items())
    assert [file.name for file in tmp_path.iterdir()] == ["a.ckpt"]


def test_the_folder_for_temporary_files_is_not_used_and_memory_not_filled(tmp_path: Path, monkeypatch):
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    tracemalloc.start()
    StreamedCheckpoints().save_checkpoint(CONTENT, tmp_path / "a.ckpt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * SIZE


def test_a_full_disk_is_named_and_leaves_the_checkpoint_before(tmp_path: Path):
    files, target = StreamedCheckpoints(), tmp_path / "a.ckpt"
    files.save_checkpoint({"global_step": 6}, target)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 * SIZE, before[1]))
        with pytest.raises(OSError, match="File too large") as full:
            files.save_checkpoint(CONTENT, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert full.value.errno == errno.EFBIG
    assert Path(full.value.filename).parent == tmp_path
    assert files.load_checkpoint(target) == {"global_step": 6}
    assert [file.name for file in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 0.999])
def test_a_flipped_bit_is_found_and_the_remedy_said(tmp_path: Path, place: float):
    path = tmp_path / "a.ckpt"
    StreamedCheckpoints().save_checkpoint(CONTENT, path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 4
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"a\.ckpt is damaged .* Delete it, and the same command trains this round"):
        StreamedCheckpoints().load_checkpoint(path)


class Malice:
    """Does something when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


def test_no_code_is_run(tmp_path: Path):
    torch.save({"state_dict": Malice()}, tmp_path / "a.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        StreamedCheckpoints().load_checkpoint(tmp_path / "a.ckpt", weights_only=False)
