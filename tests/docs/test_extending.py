"""A loss, a reward prompt, a judge and a language, each added by following its tutorial in a folder of one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from tests.docs.pages import ROOT, TUTORIALS, commands, section, write_files


def follow(tutorial: str, folder) -> list[list[str]]:
    """Write the tutorial's files into the folder and run its commands there; returns the commands' arguments."""
    page = TUTORIALS / f"{tutorial}.md"
    assert write_files(page, folder)
    typed = [arguments for word, arguments in commands(section(page.read_text("utf-8"), "Try")) if word == "run"]
    assert typed
    environment = os.environ | {"PYTHONPATH": f".{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    for arguments in typed:
        done = subprocess.run(
            [sys.executable, "-m", "icr.run", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
    return typed


def rows(folder, table: str) -> list[dict]:
    """The rows of a table below `runs/`."""
    return pq.read_table(folder / "runs" / f"{table}.parquet").to_pylist()


def key(folder, run: str, stage: str) -> dict:
    """The settings in a stage's key."""
    manifest = json.loads((folder / "runs" / run / "manifest.json").read_text("utf-8"))
    return manifest["stages"][stage]["key"]["settings"]


def test_own_loss(tmp_path):
    follow("own-loss", tmp_path)
    assert key(tmp_path, "hinge", "round_0/model")["loss"] == {"class": "Hinge", "beta": 0.1}
    first = (tmp_path / "runs/hinge/metrics.csv").read_text("utf-8").splitlines()
    losses = dict(zip(first[0].split(","), first[1].split(","), strict=True))
    assert float(losses["preference_loss"]) == 1.0  # At step 0 the margin is 0.


@pytest.mark.slow
def test_own_reward_prompt(tmp_path):
    follow("own-reward-prompt", tmp_path)
    prompt = key(tmp_path, "bilingual", "round_0/rewards")["reward_prompt"]
    assert prompt == {"class": "BilingualPrompt", "template": "{english}\n\n{prompt}"}


@pytest.mark.slow
def test_own_judge(tmp_path):
    follow("own-judge", tmp_path)
    judged = rows(tmp_path, "script/evaluation/M0")
    assert key(tmp_path, "script", "evaluation/M0")["evaluation"]["judge"]["class"] == "ScriptJudge"
    assert {row["language"] for row in judged} == {"en", "ru"}
    assert all(row["score"] == 1 for row in judged if row["language"] == "en")
    for row in rows(tmp_path, "shorter/evaluation/M0"):
        shorter, longer = row["characters"] < len(row["opponent"]), row["characters"] > len(row["opponent"])
        assert row["preference"] == (1 + shorter - longer) / 2
        assert row["score"] is None


@pytest.mark.slow
def test_own_language(tmp_path):
    follow("own-language", tmp_path)
    assert {row["language"] for row in rows(tmp_path, "eo/round_0/pairs")} == {"en", "eo"}
    names = key(tmp_path, "eo", "round_0/rewards")["reward_prompt"]["language_names"]
    assert names["eo"] == "Esperanto"
