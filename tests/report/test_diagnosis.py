"""What the page says of samples and rewards that passed a limit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from icr.metrics import RoundMetric
from icr.report.diagnosis import reasons
from icr.rundir import open_run
from tests.report.fake_run import write_fake_run

LIMITS = yaml.safe_load((Path(__file__).parents[2] / "conf/diagnosis/standard.yaml").read_text("utf-8"))["limits"]


@pytest.fixture
def diagnosed(tmp_path):
    """`diagnosed(**figures)`: a run whose round 0 has these, by language."""

    def write(figures: dict[str, dict[str, float]]):
        directory = write_fake_run(tmp_path / "run")
        config = directory / "config.yaml"
        settings = yaml.safe_load(config.read_text(encoding="utf-8"))
        config.write_text(yaml.safe_dump({**settings, "diagnosis": {"limits": LIMITS}}), encoding="utf-8")
        summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
        for entry in summary["rounds"]:
            entry["diagnosis"] = figures if entry["round"] == 0 else {}
        (directory / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        return open_run(directory)

    return write


def test_languages_of_one_reason_stand_together_and_the_worst_comes_first(diagnosed):
    run = diagnosed(
        {
            RoundMetric.REPEATING: {"en": 0.2, "es": 0.2, "de": 0.3},
            RoundMetric.TRUNCATED: {"en": 1.0, "es": 0.0, "de": 1.0},
        }
    )
    assert [(where, text.split(" ")[0]) for where, text in reasons(run)] == [
        ("round 0 · en de · no-go", "100%"),
        ("round 0 · en es · caution", "20%"),
        ("round 0 · de · caution", "30%"),
    ]
