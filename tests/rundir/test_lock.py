"""One process at a time: who holds a run directory is named, and what a dead process held is free."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from icr.errors import RunError
from icr.rundir import held

ROOT = Path(__file__).parents[2]
HOLDING = """
import sys, time
from pathlib import Path
from icr.rundir import held
with held(Path(sys.argv[1])):
    print(1, flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_dead_one_taken_over(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout.readline() == b"1\n"
        with (
            pytest.raises(RunError, match=rf"{re.escape(str(tmp_path))} is in use by process {process.pid} on "),
            held(tmp_path),
        ):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with held(tmp_path):
            assert str(os.getpid()) in (tmp_path / ".lock.json").read_text()
    finally:
        process.kill()
        process.stdout.close()


def test_it_is_free_again_after_an_error(tmp_path: Path):
    with pytest.raises(KeyError), held(tmp_path):
        raise KeyError
    with held(tmp_path):
        pass
    assert not (tmp_path / ".lock.json").exists()
