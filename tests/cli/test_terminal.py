"""One way to say an error, and one set of exit codes."""

from __future__ import annotations

import errno

import pytest

from icr.errors import ConfigError, RunError
from icr.terminal import Exit, complain, guarded


def raises(error: BaseException):
    def body() -> None:
        raise error

    return body


def test_what_a_command_returns_is_its_code():
    assert guarded(lambda: None) == Exit.DONE == 0
    assert guarded(lambda: Exit.FINDING) == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RunError("No pairs."), Exit.MISTAKE, "icr: No pairs.\n"),
        (OSError(errno.ENOSPC, "No space left", "x"), Exit.MISTAKE, "icr: The disk is full (x): No space left."),
        (KeyboardInterrupt(), Exit.STOPPED, "icr: stopped.\n"),
    ],
)
def test_what_the_user_can_put_right_is_a_paragraph(error, code, said, capsys, monkeypatch):
    monkeypatch.delenv("ICR_TRACEBACK", raising=False)
    assert guarded(raises(error)) == code
    printed = capsys.readouterr()
    assert printed.err.startswith(said)
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_a_job_of_a_sweep_is_named(capsys, monkeypatch):
    monkeypatch.delenv("ICR_TRACEBACK", raising=False)
    assert complain(ConfigError("loss.beta must be above 0."), "loss.beta=0") == 2
    assert capsys.readouterr().err == "icr: loss.beta=0: loss.beta must be above 0.\n"


def test_a_defect_is_no_paragraph():
    with pytest.raises(KeyError):
        guarded(raises(KeyError("slip")))


def test_tracebacks_are_shown_on_demand(monkeypatch, capsys):
    monkeypatch.setenv("ICR_TRACEBACK", "1")
    with pytest.raises(RunError):
        guarded(raises(RunError("No pairs.")))
    assert capsys.readouterr().err == ""
