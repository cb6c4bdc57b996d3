"""Progress of long work: lines where there is no terminal, by a clock that the tests move."""

from __future__ import annotations

import logging
import sys
import time

import pytest

from icr import distributed, progress
from icr.progress import INTERVAL, ProgressLines


class Clock:
    """Seconds, as `monotonic` gives them."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch, caplog) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    caplog.set_level(logging.INFO, "icr")
    return clock


def terminal(monkeypatch, there: bool) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: there, raising=False)


def test_long_work_says_where_it_is_at_most_every_interval(clock, caplog, monkeypatch, capsys):
    terminal(monkeypatch, False)
    with progress.progress(6400, "round_0 · scoring") as update:
        for _ in range(100):
            clock.now += 3
            update(64)
    assert len(caplog.messages) == 300 // INTERVAL
    assert caplog.messages[:2] == [
        "round_0 · scoring: 640 of 6,400 (10 %), 4 min left",
        "round_0 · scoring: 1,280 of 6,400 (20 %), 4 min left",
    ]
    assert caplog.messages[-1] == "round_0 · scoring: 6,400 of 6,400 (100 %), 0 s left"
    assert {(record.name, record.levelname) for record in caplog.records} == {("icr.progress", "INFO")}
    assert capsys.readouterr().err == ""


def test_short_work_is_quiet(clock, caplog, monkeypatch):
    terminal(monkeypatch, False)
    with progress.progress(10, "round_0 · sampling") as update:
        for _ in range(10):
            clock.now += INTERVAL / 11
            update(1)
    assert not caplog.messages


def test_a_long_batch_delays_the_line_to_the_next_update(clock, caplog, monkeypatch):
    terminal(monkeypatch, False)
    with progress.progress(4, "round_0 · sampling") as update:
        clock.now += 2 * 3600
        update(1)
        clock.now += 1
        update(1)
    assert caplog.messages == ["round_0 · sampling: 1 of 4 (25 %), 6 h 0 min left"]


def test_a_terminal_has_a_bar_and_no_lines(clock, caplog, monkeypatch, capsys):
    terminal(monkeypatch, True)
    with progress.progress(4, "round_0 · sampling") as update:
        clock.now += 100
        update(4)
    assert not caplog.messages
    assert "round_0 · sampling" in capsys.readouterr().err


def test_rank_0_alone_speaks_of_its_own_share(clock, caplog, monkeypatch, capsys):
    monkeypatch.setattr(distributed, "size", lambda: 2)
    for rank, there in ((0, False), (1, False), (1, True)):
        terminal(monkeypatch, there)
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        with progress.progress(9, f"rank {rank}") as update:
            clock.now += INTERVAL
            update(1)
    assert caplog.messages == ["rank 0: 1 of 5 (20 %), 2 min left"]
    assert capsys.readouterr().err == ""


def test_a_figure_stands_beside_how_far_it_is(clock, caplog, monkeypatch, capsys):
    for there in (False, True):
        terminal(monkeypatch, there)
        with progress.progress(2, "verdicts") as update:
            clock.now += INTERVAL
            time.sleep(0.11)  # The bar is drawn ten times a second at most.
            update(1, "cost 0.12")
    assert caplog.messages == ["verdicts: 1 of 2 (50 %), cost 0.12, 30 s left"]
    assert "cost 0.12" in capsys.readouterr().err


def test_work_that_rank_0_does_alone_is_all_its_own(clock, caplog, monkeypatch):
    terminal(monkeypatch, False)
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with progress.progress(10, "verdicts", shared=False) as update:
        clock.now += INTERVAL
        update(5)
    assert caplog.messages == ["verdicts: 5 of 10 (50 %), 30 s left"]


def test_what_was_done_before_says_nothing_about_the_speed(clock, caplog):
    lines = ProgressLines(600, "round_0 · training", items="steps", done=300)
    clock.now += 40
    lines.at(300, "loss 0.7")
    clock.now += 60
    lines.at(400, "loss 0.6")
    assert caplog.messages == [
        "round_0 · training: 300 of 600 steps (50 %), loss 0.7",
        "round_0 · training: 400 of 600 steps (66 %), loss 0.6, 3 min left",
    ]


def test_of_nothing(clock, caplog):
    lines = ProgressLines(0, "round_0 · scoring")
    clock.now += INTERVAL
    lines.at(0)
    assert caplog.messages == ["round_0 · scoring: 0 of 0 (0 %)"]
