"""`icr <word>`: the table of words, what each costs before its work begins, and what is said of a wrong one."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import icr
from icr import cli

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "lightning", "datasets", "pandas", "matplotlib", "wandb")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_without_a_word_all_are_listed(arguments, capsys):
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: icr <word> …")
    for name, word in cli.WORDS.items():
        assert f"  {name} " in shown
        assert word.line in shown
    assert max(map(len, shown.splitlines())) <= 110


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"icr {icr.__version__}\n"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "exprot",
            "icr: 'exprot' is not a word of icr. Did you mean export? Words: run, report, evaluate, doctor, cache, "
            "export, dashboard",
        ),
        ("xyz", "icr: 'xyz' is not a word of icr. Words: run, report, evaluate, doctor, cache, export, dashboard"),
        ("loss=kto", "icr: 'loss=kto' is a setting, and settings follow a word, as in icr run loss=kto."),
        ("--halp", "icr: '--halp' is not a word of icr."),
    ],
)
def test_an_unknown_word(word, message, capsys):
    assert cli.main([word]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(message)
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_the_console_script_is_the_same_function():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["icr"].partition(":")
    assert getattr(importlib.import_module(module), function) is cli.main


@pytest.mark.parametrize("name", cli.WORDS)
def test_a_word_is_a_command_of_its_own_too(name):
    by_word, by_module = (python("-m", *command, "--help") for command in (["icr", name], [f"icr.{name}"]))
    assert (by_word.returncode, by_module.returncode) == (0, 0)
    assert by_word.stdout == by_module.stdout
    assert f"icr {name}" in by_word.stdout
    assert by_word.stderr == by_module.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        *([name, "--help"] for name in cli.WORDS),
        ["run", "--cfg", "job"],
        ["run", "--info", "defaults"],
        ["run", "loss=kot"],
        ["doctor", "plan", "loss=kot"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported_before_work_begins(arguments):
    """Torch and transformers alone take five seconds."""
    program = f"""
import json, sys
from icr.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(json.dumps(sorted(set({HEAVY!r}) & sys.modules.keys())))
"""
    done = python("-c", program)
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "loss.alhpa=1"],
        ["run", "model=llama3_8b"],
        ["doctor", "plan", "loss.alhpa=1"],
        ["doctor", "plan", "loss.alpha=-1"],
        ["report", "/nonexistent"],
        ["export", "/nonexistent", "--to", "out"],
        ["dashboard", "/nonexistent"],
        ["report"],
        ["run", "--nonsense"],
    ],
    ids=" ".join,
)
def test_every_word_says_a_mistake_in_the_same_way(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["icr"])
    monkeypatch.chdir(tmp_path)
    for module in ("icr.run.begin", "icr.doctor.__main__"):
        monkeypatch.setattr(f"{module}.quiet", lambda: None)  # Its log handler would outlive the streams.
    try:
        status = cli.main(arguments)
    except SystemExit as end:
        status = end.code
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert re.match(r"icr( report)?: ", printed.err.splitlines()[-1])
    assert "Traceback" not in printed.err
