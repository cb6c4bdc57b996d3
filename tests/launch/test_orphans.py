"""What is left of a run of several processes when one of them is killed, and where they listen while it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from icr.errors import RunError
from icr.rundir import held
from tests.e2e import tiny
from tests.e2e.conftest import ROOT, environment

ENDLESS = ["trainer.devices=2", "trainer.max_steps=100000", "trainer.checkpoint_every=1"]
FOLLOWING = """
import os, sys
from icr.launch.parent import follow
if os.fork():
    os.wait()
else:
    follow()
    print(os.getpid(), flush=True)
    sys.stdin.read()  # A call that does not come back.
"""


def run(directory: Path, pair: tuple[str, str]) -> subprocess.Popen:
    """A run of two processes that would train for hours, when it has begun to."""
    arguments = [
        *("langs.codes=[en]", "data.prompts_per_language=8", "evaluation=none", "sampling.n=2", "iterations=1"),
        *("sampling.max_new_tokens=6", "reward.keep_truncated=true", "trainer.global_batch_size=8"),
        *(f"model.path={pair[0]}", f"model.reference={pair[1]}", f"run.dir={directory}", *ENDLESS),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "icr.run", *arguments], cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True
    )
    until(lambda: process.poll() is not None or list(directory.rglob("*.ckpt")), 120)
    assert process.poll() is None, process.stderr.read()
    return process


def until(happened, seconds: float) -> float:
    """Wait, at most so long; returns how long it took."""
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < seconds
        time.sleep(0.02)
    return time.monotonic() - started


def end(process: subprocess.Popen, ranks: list[psutil.Process]) -> None:
    """Whatever a test has left."""
    for one in [*ranks, psutil.Process(process.pid)] if process.poll() is None else ranks:
        if one.is_running():
            one.kill()
    process.communicate()


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("pair")
    return tiny.pocket_model(folder / "policy", 1), tiny.pocket_model(folder / "reference", 2)


def test_a_rank_ends_with_its_parent_in_the_middle_of_a_call():
    parent = subprocess.Popen(
        [sys.executable, "-c", FOLLOWING], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    rank = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    try:
        until(lambda: not rank.is_running(), 5)
    finally:
        end(parent, [rank])


def test_ranks_listen_on_loopback_and_end_with_their_parent(pair, tmp_path):
    """And the run directory is theirs until they have: whoever wants it waits for that."""
    process = run(tmp_path / "run", pair)
    parent = psutil.Process(process.pid)
    ranks = parent.children()
    try:
        assert len(ranks) == 2
        listening = {c.laddr.ip for one in (parent, *ranks) for c in one.net_connections() if c.status == "LISTEN"}
        assert listening == {"127.0.0.1"}
        with pytest.raises(RunError, match=f"in use by process {process.pid} "), held(tmp_path / "run"):
            pass
        ranks[1].suspend()  # One that is slow to follow.
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: not ranks[0].is_running(), 5)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("icr.rundir.lock.PATIENCE", 0.2)
            with pytest.raises(RunError, match="in use by "), held(tmp_path / "run"):
                pass
        ranks[1].resume()
        with held(tmp_path / "run"):
            until(lambda: not any(rank.is_running() for rank in ranks), 2)
    finally:
        end(process, ranks)
