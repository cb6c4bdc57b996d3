"""The one reader: light, the same counts whether a run is finished or not, and clear about what it cannot read."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from icr.errors import RunError
from icr.rewards import NoLengthControl
from icr.rundir import Key, Layout, PairTable, RunDirectory, count_rounds, open_run
from icr.rundir.layout import round_stages
from icr.types import PreferencePair
from tests.report.fake_run import LANGUAGES, write_fake_run


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    return write_fake_run(tmp_path_factory.mktemp("runs") / "full", prompts=6, samples=3)


@pytest.fixture
def copy(full, tmp_path) -> Layout:
    shutil.copytree(full, tmp_path / "run")
    return Layout(tmp_path / "run")


def test_reading_and_reporting_need_no_torch():
    heavy = "{'torch', 'lightning', 'transformers', 'datasets', 'hydra', 'wandb'}"
    for module in ("icr.rundir", "icr.report.__main__"):
        code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "[]", module


def test_what_writes_a_run_is_there_when_asked_for():
    from icr import rundir
    from icr.rundir.store import RunDirectory

    assert rundir.RunDirectory is RunDirectory
    assert {name for name in rundir.__all__ if getattr(rundir, name, None) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rundir.nothing


def test_a_run_counts_the_same_with_and_without_its_summary(copy):
    document = json.loads(copy.summary.read_text())
    document["rounds"] = [entry for entry in document["rounds"] if entry["round"] == 1]
    copy.summary.write_text(json.dumps(document))
    finished = open_run(copy.path)
    copy.summary.unlink()
    unfinished = open_run(copy.path)
    assert (finished.finished, unfinished.finished) == (True, False)
    assert finished.summary.rounds[0] == unfinished.summary.rounds[0] == count_rounds(copy, [0])[0]
    assert [entry.round for entry in finished.summary.rounds] == [0, 1]
    assert unfinished.summary.languages == LANGUAGES
    assert unfinished.summary.models == []


def test_counts_are_those_of_the_tables(copy):
    copy.round(1).skipped.write_text(json.dumps({"en": {"too few usable": 2}}))
    (counts,) = count_rounds(copy, [1])
    pairs = pd.read_parquet(copy.round(1).pairs)
    of_sw = pairs[pairs.language == "sw"]
    assert counts.prompts == dict.fromkeys(LANGUAGES, 6)
    assert counts.responses == dict.fromkeys(LANGUAGES, 18)
    assert counts.pairs["sw"] == len(of_sw)
    assert counts.chosen_reward["sw"] == pytest.approx(of_sw.chosen_reward.mean(), abs=1e-6)
    assert counts.rejected_tokens["sw"] == pytest.approx(of_sw.rejected_tokens.mean(), abs=1e-6)
    assert counts.skipped == {"en": {"too few usable": 2}}
    assert counts.alpha["sw"] == json.loads(copy.round(1).length_control.read_text())["sw"]["alpha"]


def test_a_round_that_has_just_begun_and_one_without_pairs(copy):
    files = copy.round(0)
    PairTable(PreferencePair).write(files.pairs, [])
    files.length_control.unlink()
    (counts,) = count_rounds(copy, [0])
    assert counts.responses
    assert counts.pairs == counts.chosen_reward == counts.alpha == {}
    files.responses.unlink()
    assert count_rounds(copy, [0]) == []
    assert count_rounds(copy, [7]) == []


def test_models_are_complete_when_the_manifest_says_so(copy):
    copy.round(0).model.mkdir()
    assert open_run(copy.path).trained == []
    stage = round_stages(1).model
    RunDirectory(copy.path, {stage: Key({}, {})}).folder(stage, lambda: SimpleNamespace(save=lambda folder: None))
    assert open_run(copy.path).trained == [1]
    copy.round(1).model.rmdir()
    assert open_run(copy.path).trained == []


def test_tables_are_cut_down_to_what_is_asked_for(full):
    run = open_run(full)
    assert list(run.table(0, "responses", ["id", "language", "nothing"])) == ["id", "language"]
    assert {"reward", "policy_logp"} <= set(run.table(1, "rewards"))
    assert run.table(2, "pairs") is None
    assert run.evaluation("M7") is None


def test_documents_hold_null_for_what_could_not_be_measured(copy):
    curve = NoLengthControl()([[]])
    assert math.isnan(curve.bias_before)
    stage = round_stages(0).length_control
    read = RunDirectory(copy.path, {stage: Key({}, {})}).json(stage, lambda: {"sw": curve.as_dict()})
    assert "NaN" not in copy.round(0).length_control.read_text()
    assert open_run(copy.path).length_control[0] == read
    assert (read["sw"]["bias_before"], read["sw"]["chosen_length"], read["sw"]["alpha"]) == (None, [None], 0.0)


def test_directories_of_an_earlier_version_are_refused(copy):
    copy.manifest.write_text(json.dumps({"settings": {}, "stages": {}}))
    with pytest.raises(RunError, match=r"run of an earlier version of icr \(0\.1\.0\): .* give another run\.dir"):
        open_run(copy.path)


def test_a_summary_of_another_form_is_named(copy):
    copy.summary.write_text(json.dumps({"models": {"M0": {"win_rate": {"mean": 1.0}}}}))
    with pytest.raises(RunError, match=r"summary\.json is not a summary .* Delete it"):
        open_run(copy.path)


def test_settings_are_those_of_the_configuration(copy):
    assert open_run(copy.path).settings()["loss"] == {"beta": 0.1, "alpha": 1.0}
    copy.config.write_text("a: [")
    with pytest.raises(RunError, match=r"config\.yaml is not YAML"):
        open_run(copy.path).settings()
    copy.config.unlink()
    assert open_run(copy.path).settings() == {}
