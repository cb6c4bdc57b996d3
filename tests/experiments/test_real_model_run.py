"""The experiment on a real model from the command to the tables, on a tiny one."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

from experiments.real_model import arms, run
from experiments.real_model.size import SIZES, of

ARMS = list(filter(None, arms.ARMS))
TINY = replace(
    of("small"),
    tokens=20,
    pairs=24,
    demonstrations=4,
    labelled=6,
    preferences=4,
    prompts=4,
    batch=4,
    answers=2,
    responses=3,
    max_new_tokens=8,
    dtype="float32",
)


@pytest.fixture
def command(source, model_folder, tmp_path, monkeypatch):
    """`command(*words)` runs the experiment in its smallest size."""
    monkeypatch.setitem(SIZES, "tiny", asdict(TINY))
    for key, value in {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(run.__file__).parents[2])}.items():
        monkeypatch.setenv(key, value)
    given = ["--size", "tiny", "--model", str(model_folder("tied")), "--data", str(source), "--runs", str(tmp_path)]
    given += ["--arms", *ARMS]

    def call(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["run.py", *given, *words])
        run.main()

    return call


@pytest.mark.slow
def test_every_step_runs_and_is_in_the_tables(command, tmp_path, capfd):
    command()
    home = tmp_path / "tiny"
    steps = pd.read_csv(home / "steps.csv")
    assert set(steps.attempts) == {1}
    found = {name: pd.read_csv(home / f"{name}.csv") for name in ("diagnosis", "models", "differences")}
    assert set(found["diagnosis"].pair) == {"turbo_over_35", "mini_over_35", "balanced", "demonstrated"}
    measured = set(found["models"].model)
    assert {"base", "dpo_en", "sft", "dpo_demonstrated", "s0_nll_M0", "balanced_s0_M0"} < measured
    assert {f"{arm}_s0_M0" for arm in ARMS} < measured
    page = (home / "README.md").read_text(encoding="utf-8")
    assert "| demonstrated_s0_M0 |" in page
    assert len(re.findall(r"^\| diagnosis, ", page, re.MULTILINE)) == 3 * 4 + 2
    capfd.readouterr()
    command()
    assert "$ icr" not in capfd.readouterr().out
