"""Every example runs as it stands, without a network, and what its docstring tells people to type is accepted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import hydra
import pytest

from icr import config

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
SMALL = [
    *("langs=[en,sw]", "data.prompts_per_language=4", "iterations=1", "evaluation=none", "trainer.max_steps=1"),
    *("sampling.n=2", "sampling.max_new_tokens=16", "reward.keep_truncated=true", "trainer.progress_bar=false"),
]


def run(*arguments: str) -> str:
    """What the command prints; a failure shows its error."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def example(name: str, *arguments: str) -> str:
    return run(f"examples/{name}.py", *arguments)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    run("-m", "icr", "run", f"run.dir={folder}", *SMALL)
    return folder


def test_score_answers():
    rewards = [float(value) for value in re.findall(r"^([+-]\d+\.\d+)  ", example("score_answers"), re.MULTILINE)]
    assert len(rewards) == 2
    assert rewards[0] > 0 > rewards[1]


def test_pair_rewards():
    printed = example("pair_rewards")
    assert "chosen is +19.0 tokens longer without it, -1.3 with it" in printed
    assert "p0: answer 1 (+0.6, 22 tokens) over answer 3 (+0.1, 35 tokens)" in printed


def test_read_run(small_run):
    printed = example("read_run", str(small_run))
    assert f"{small_run}: finished, rounds [0]" in printed
    assert "round 0: 16 scored answers, " in printed
    assert "the widest:\n  prompt    " in printed


def test_own_loss():
    assert example("own_loss") == "loss 1.7500, by hand 1.7500\n"


def test_own_reward_prompt():
    assert "Please answer using only German.<end><assistant>" in example("own_reward_prompt")


def test_every_example_is_tested_and_says_what_it_shows():
    assert {f"test_{name}" for name in EXAMPLES} <= globals().keys()
    for name in EXAMPLES:
        assert re.match(r'r?"""[A-Z]', (ROOT / f"examples/{name}.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("own_")])
def test_what_the_docstring_says_is_accepted(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    text = (ROOT / f"examples/{name}.py").read_text(encoding="utf-8").replace("\\\n", " ")
    (command,) = re.findall(r"^    PYTHONPATH=examples icr run (.*)$", text, re.MULTILINE)
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        settings = config.build(hydra.compose("config", shlex.split(command)))
    assert name in {type(settings.loss).__module__, type(settings.reward_prompt).__module__}
