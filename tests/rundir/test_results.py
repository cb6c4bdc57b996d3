"""What a run amounts to: told apart by kind, not by name, and the same after a trip through JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

import icr
from icr.rundir import ModelResult, RoundCounts, Summary, summarise


def model(name: str, round: int | None = None, win_rate: float = 50.0) -> ModelResult:
    figures = {"win_rate": {"mean": win_rate, "en": 60.0, "sw": win_rate}}
    return ModelResult(name, "start" if round is None else "round", round, figures)


SUMMARY = Summary(
    stage="icr",
    seed=3,
    languages=["en", "sw"],
    models=[model("M10", 10), model("sft"), model("M2", 2), model("dpo_en")],
    reward_accuracy={"crosslingual": {"mean": 0.9, "en": 0.8, "sw": 0.9}},
    rounds=[RoundCounts(0, prompts={"sw": 4}, responses={"sw": 8}, skipped={"sw": {"too few usable": 1}})],
    seconds={"round_0/responses": 1.5},
)


def test_it_comes_back_from_json():
    assert Summary.from_json(json.loads(json.dumps(SUMMARY.as_json(), allow_nan=False))) == SUMMARY


def test_what_could_not_be_measured_is_null_in_json_and_nan_here():
    entry = RoundCounts(0, responses={"sw": 8}, alpha={"sw": math.inf}, chosen_reward={"sw": math.nan})
    summary = replace(
        SUMMARY,
        models=[model("M0", 0, win_rate=math.nan)],
        rounds=[entry],
        reward_accuracy={"crosslingual": {"sw": math.nan}},
    )
    document = json.loads(json.dumps(summary.as_json(), allow_nan=False))
    assert document["models"][0]["figures"]["win_rate"] == {"mean": None, "en": 60.0, "sw": None}
    assert document["reward_accuracy"] == {"crosslingual": {"sw": None}}
    assert document["rounds"][0]["chosen_reward"] == document["rounds"][0]["alpha"] == {"sw": None}
    back = Summary.from_json(document)
    assert math.isnan(back.models[0].figure("win_rate"))
    assert back.models[0].figure("win_rate", "en") == 60.0
    assert math.isnan(back.rounds[0].chosen_reward["sw"])
    assert math.isnan(back.reward_accuracy["crosslingual"]["sw"])


def test_the_road_is_what_the_run_started_from_then_its_rounds():
    assert [model.name for model in SUMMARY.road] == ["sft", "dpo_en", "M2", "M10"]


def test_controls_stand_beside_and_change_nothing_else():
    control = Summary(models=[model("M0", 0, 47.0), model("M1", 1, 46.0)], rounds=[RoundCounts(0)])
    both = SUMMARY.with_control("random_labels", control).with_control("nll_random", control)
    assert replace(both, models=SUMMARY.models) == SUMMARY
    assert both.road == SUMMARY.road
    assert {name: [(m.name, m.round) for m in models] for name, models in both.controls.items()} == {
        "random_labels": [("M0", 0), ("M1", 1)],
        "nll_random": [("M0", 0), ("M1", 1)],
    }
    assert {m.kind for models in both.controls.values() for m in models} == {"control"}
    assert [m.label for m in both.models[-2:]] == ["control: nll random M0", "control: nll random M1"]
    assert both.model("M1") is None
    assert both.model("M1", "random_labels").figure("win_rate") == 46.0
    assert both.model("M2").label == "M2"


def test_figures_that_were_not_measured_are_nan():
    assert math.isnan(model("M0", 0).figure("win_rate_se"))
    assert math.isnan(model("M0", 0).figure("win_rate", "th"))


@pytest.mark.parametrize("change", [{"models": {"M0": {"win_rate": {}}}}, {"models": [{}]}, {"colour": "red"}])
def test_other_forms_are_not_guessed_at(change):
    with pytest.raises((KeyError, TypeError, AttributeError)):
        Summary.from_json(SUMMARY.as_json() | change)


def test_summing_up_adds_the_versions():
    summary = summarise(
        stage="sft",
        seed=0,
        iterations=1,
        languages=("en",),
        reward_pair={"policy": "a", "reference": "b"},
        models=[model("sft", 0)],
        reward_accuracy={},
        skipped_prompts={"en": {"longer than the context": 2}},
        rounds=[],
        seconds={"round_0/model": 2.0},
    )
    assert (summary.version, summary.languages, summary.skipped_prompts["en"]) == (
        icr.__version__,
        ["en"],
        {"longer than the context": 2},
    )
    assert {"python", "torch", "lightning", "transformers"} <= set(summary.versions)
    assert Summary.from_json(summary.as_json()) == summary
