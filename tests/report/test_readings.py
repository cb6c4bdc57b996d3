"""What is said of a plot is what its numbers are."""

import io
import math
from urllib.parse import unquote

import pandas as pd
import pytest

from icr.report import readings
from icr.report.behind import Plot, extremes, minus, signed
from icr.rundir import ModelResult, Summary


def model(name, kind, mean, **languages):
    figures = {"win_rate": {"mean": mean, **languages}, "win_rate_se": {"mean": 1.5}}
    return ModelResult(name, kind, 0 if kind == "round" else None, figures)


def test_the_way_is_told_from_the_last_start_to_the_last_round():
    road = [model("sft", "start", 30.0), model("dpo_en", "start", 48.0, bn=40.0, sw=50.0)]
    summary = Summary(languages=["en", "bn", "sw"], models=[*road, model("M0", "round", 47.0, bn=43.0, sw=45.0)])
    data, says = readings.win_rate(summary)
    assert says == (
        "From DPO-en to M0 the mean moves by −1.0 points (standard errors over prompts 1.5 and 1.5): "
        "most in bn (+3.0), least in sw (−5.0)."
    )
    assert data[data.model == "M0"]["win_rate"].tolist() == [47.0, 43.0, 45.0]
    assert readings.win_rate(Summary(models=road[:1]))[1] == ""


def test_accuracies_are_told_by_reward_prompt():
    summary = Summary(reward_accuracy={"crosslingual": {"mean": 0.9, "bn": 0.92, "sw": 0.88}, "english": {}})
    data, says = readings.reward_accuracy(summary)
    assert says == "0.90 on average under the crosslingual prompt (most in bn (0.92), least in sw (0.88))."
    assert len(data) == 3


def test_rewards_are_told_of_the_last_round():
    frame = pd.DataFrame({"language": ["bn", "bn"], "chosen_reward": [1.0, 3.0], "rejected_reward": [0.0, math.nan]})
    data, says = readings.reward_distributions({0: frame.assign(chosen_reward=9.0), 1: frame})
    assert says == "In round 1 chosen less rejected is +2.00 nats, the mean over languages."
    assert data[data["round"].eq(1)]["pairs"].tolist() == [2, 1]
    assert readings.reward_distributions({0: frame[:0]})[1] == ""


def test_length_control_is_told_before_and_after():
    curve = {"starts": [0.0, 0.1, 0.2], "chosen_length": [9.0, 9.0, 7.0], "rejected_length": [6.0, 6.0, 7.0],
             "alpha": 0.2, "bias_before": 3.0, "bias_after": 0.0, "unit": "bytes"}  # fmt: skip
    data, says = readings.length_control({"bn": curve})
    assert (
        says == "Chosen less rejected is +3.0 bytes without control, the mean over languages, and 0.0 with the α taken."
    )
    assert data["alpha"].tolist() == [0.0, 0.2]  # Where lengths change.


def test_training_is_told_of_the_last_round():
    metrics = pd.DataFrame({"round": [0, 0, 1, 1], "step": [0, 1, 0, 1], "rewards/margins": [9.0, 9.0, 0.0, 0.5]})
    data, says = readings.training(metrics, [])
    assert says == "From the first to the last quarter of round 1, the reward margin goes from 0.00 to 0.50 nats."
    assert data["value"].tolist() == [9.0, 9.0, 0.0, 0.5]


def test_numbers_are_written_with_their_signs():
    assert (signed(4.04), signed(-1.25, 2), signed(-0.01)) == ("+4.0", "−1.25", "0.0")
    assert minus("log-prob -1.5 to -2, p-1") == "log-prob −1.5 to −2, p-1"
    assert extremes({"a": 1.0, "b": 1.0, "c": math.nan}) == "1.0 everywhere"
    assert extremes({"a": 1.0}) == ""


@pytest.mark.parametrize("text", ["a,b", '"quoted"', "বাংলা 100 %", "<script>&amp;#"])
def test_a_link_carries_its_csv_whole(text):
    data = pd.DataFrame({"name": [text], "value": [0.1]})
    link = Plot("p", "<svg>", data).link
    assert not set(link) & set('<>"# \n')
    back = pd.read_csv(io.StringIO(unquote(link.removeprefix("data:text/csv;charset=utf-8,"))))
    pd.testing.assert_frame_equal(back, data)
