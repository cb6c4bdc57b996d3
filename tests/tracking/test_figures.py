"""Figures of rounds and models under the names of the list."""

from __future__ import annotations

import math

import pytest

from icr.metrics import PairMetric, logged
from icr.rundir import ModelResult, RoundCounts
from icr.tracking import accuracy_figures, model_figures, pair_figures


def test_pairs_by_language_and_in_all():
    counts = RoundCounts(
        round=0,
        responses={"en": 40, "sw": 40},
        pairs={"en": 3, "sw": 1},
        alpha={"en": 0.01, "sw": 0.03},
        chosen_reward={"en": 2.0, "sw": 6.0},
        rejected_reward={"en": 1.0, "sw": 1.0},
        chosen_tokens={"en": 10.0, "sw": 30.0},
        rejected_tokens={"en": 12.0, "sw": 20.0},
    )
    found = pair_figures(counts)
    assert found == pytest.approx(
        {
            "pairs/count": 4,
            "pairs/alpha_len": 0.02,
            "pairs/chosen_reward": 3.0,
            "pairs/rejected_reward": 1.0,
            "pairs/chosen_tokens": 15.0,
            "pairs/rejected_tokens": 14.0,
            "sw/pairs/count": 1,
            "sw/pairs/alpha_len": 0.03,
            "sw/pairs/chosen_reward": 6.0,
            "sw/pairs/rejected_reward": 1.0,
            "sw/pairs/chosen_tokens": 30.0,
            "sw/pairs/rejected_tokens": 20.0,
            "en/pairs/count": 3,
            "en/pairs/alpha_len": 0.01,
            "en/pairs/chosen_reward": 2.0,
            "en/pairs/rejected_reward": 1.0,
            "en/pairs/chosen_tokens": 10.0,
            "en/pairs/rejected_tokens": 12.0,
        }
    )
    assert set(found) <= set(logged(["en", "sw"]))


def test_given_pairs_have_no_rewards_and_demonstrations_no_rejected():
    zero = {"en": 0.0}
    given = RoundCounts(0, pairs={"en": 3}, chosen_reward=zero, rejected_reward=zero, chosen_tokens={"en": 5.0})
    demonstrations = {
        PairMetric.COUNT: 3,
        PairMetric.CHOSEN_TOKENS: 5.0,
        "en/pairs/count": 3,
        "en/pairs/chosen_tokens": 5,
    }
    assert pair_figures(given) == demonstrations
    assert pair_figures(RoundCounts(0)) == {}


def test_models_and_reward_prompts():
    model = ModelResult("M0", "round", 0, {"win_rate": {"sw": 60.0, "mean": 55.0}, "own": {"mean": 1.0}})
    assert model_figures(model) == {"eval/win_rate": 55.0, "sw/eval/win_rate": 60.0}
    found = accuracy_figures({"crosslingual": {"sw": math.nan, "mean": 0.7}})
    assert set(found) == {"accuracy/crosslingual", "sw/accuracy/crosslingual"}
    assert set(found) <= set(logged(["sw"], ["crosslingual"]))
