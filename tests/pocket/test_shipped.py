"""The shipped starting models are what the build command builds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from icr.config import build, conf_dir
from icr.evaluation import Bench, Setting, Subject
from icr.pocket.assets import folder
from icr.rundir import Key, RunDirectory, open_run

BUILT = json.loads((folder("sft").parent / "built.json").read_text(encoding="utf-8"))
ROOT = Path(__file__).parents[2]


def settings():
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return build(compose("config", ["langs=english", f"seed={BUILT['seed']}"]))


@pytest.mark.parametrize("name", BUILT["english"])
def test_shipped_models_have_the_figures_that_they_were_built_to(name, tmp_path):
    """Exactly, but for samples that fall on a rounding tie of another processor: two answers in a hundred."""
    run = settings()
    evaluation = run.evaluation.open(
        Setting(["en"], run.sampling, lambda given, max_new_tokens: given, run.model.loader)
    )
    keys = {f"answers/{name}": Key({}, {"model": name}), f"evaluation/{name}": Key({}, {"answers": name})}
    bench = Bench(RunDirectory(tmp_path, keys), run.model.loader, "cpu", run.seed)
    evaluation.measure(Subject(name, str(folder(name))), bench)
    found = evaluation.figures(name)
    assert found["win_rate"]["en"] == pytest.approx(BUILT["english"][name]["win_rate"], abs=2)
    assert found["judge_score"]["en"] == pytest.approx(BUILT["english"][name]["judge_score"], abs=0.02)


def test_they_are_small():
    for name in BUILT["english"]:
        assert sum(path.stat().st_size for path in folder(name).iterdir()) < 1_500_000


@pytest.mark.slow
def test_the_command_builds_what_is_shipped(tmp_path):
    """About seven minutes. Training adds up rounding of another processor: within four points of win rate."""
    command = [sys.executable, str(ROOT / "experiments/pocket_models/build.py"), "--keep", "--runs", str(tmp_path)]
    subprocess.run([*command, "--seed", str(BUILT["seed"])], check=True, cwd=ROOT)
    for name, built in BUILT["english"].items():
        model = open_run(tmp_path / name).summary.road[-1]
        assert model.figure("win_rate", "en") == pytest.approx(built["win_rate"], abs=4)
        assert model.figure("judge_score", "en") == pytest.approx(built["judge_score"], abs=0.04)
