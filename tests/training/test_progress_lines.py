"""A training without a terminal says where it is, in the log."""

from __future__ import annotations

import logging
import re
import sys

import pytest

from icr import progress
from icr.losses import DPO


def test_a_line_per_interval_with_steps_loss_and_time_left(train, caplog, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    caplog.set_level(logging.INFO, "icr")
    train(DPO())
    lines = [line for line in caplog.messages if line.startswith("round_0 · training: ")]
    done = [re.search(r"(\d) of 6 steps \(\d+ %\), loss \d+\.\d+, \d+ s left", line)[1] for line in lines[1:]]
    assert sorted(set(done)) == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(("terminal", "interval"), [(False, 30.0), (True, 0.0)])
def test_quiet_within_the_interval_and_on_a_terminal(terminal, interval, train, caplog, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(progress, "INTERVAL", interval)
    caplog.set_level(logging.INFO, "icr")
    train(DPO())
    assert not [line for line in caplog.messages if "training" in line]
