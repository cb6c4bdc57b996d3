"""Figures of own samples by hand, and which of them stop a run."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import hydra
import numpy as np
import pytest

from icr import config
from icr.errors import RunError
from icr.evaluation import Diagnosis
from icr.evaluation.diagnosis.own import own_figures
from icr.evaluation.diagnosis.samples import tabulated
from icr.evaluation.diagnosis.verdict import Level
from icr.metrics import RoundMetric
from tests.rounds.rows import response, scored

LOOP = "the same words again and again, " * 40


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    """`conf/diagnosis/standard.yaml`."""
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        return config.build(hydra.compose("config", ["langs.codes=[en,sw]"])).diagnosis


def test_figures_of_two_prompts_by_hand():
    rewards = [[0.4, 0.1, 0.1, 0.0], [1.0, -1.0, 0.0, 9.0]]
    lengths = [[4, 3, 2, 1], [10, 20, 30, 40]]
    texts = [["a", "b", "c", "a "], ["d", "d", "", LOOP]]
    responses = [
        response(f"p{n}", "en", k, text=texts[n][k], finish_reason="length" if (n, k) == (1, 3) else "stop")
        for n in range(2)
        for k in range(4)
    ]
    rows = [
        scored(r.id, "en", r.k, rewards[n][r.k], policy_logp=-1.0, reference_logp=-1.0 - lengths[n][r.k] / 5,
               tokens=lengths[n][r.k], usable=(n, r.k) != (1, 3))
        for r in responses
        for n in [int(r.id[1])]
    ]  # fmt: skip
    found = own_figures(tabulated(responses, rows, {}), responses, {"en": 0.1}, {"en": 2}, identify=True)
    figures = {name: values["en"] for name, values in found.items()}
    assert figures[RoundMetric.PAIRS] == 1
    # 6 + 3 comparisons of usable responses, of which "d" and "d" are one text; 0.1 and 0.1 are equal.
    assert figures[RoundMetric.EQUAL_REWARDS] == 1 / 8
    assert figures[RoundMetric.MARGIN] == pytest.approx((0.4 + 2.0) / 2)
    assert figures[RoundMetric.SPREAD] == pytest.approx((np.std(rewards[0]) + np.std([1, -1, 0])) / 2)
    # Against length: five of the first six agree, one is tied; of the second three two do not.
    assert figures[RoundMetric.LENGTH_BEFORE] == pytest.approx((5 + 1 - 2) / math.sqrt(8 * 9))
    # Less 0.1 a token: 0, −.2, −.1, −.1 is 3 against 2; 0, −3, −3 is 0 against 2.
    assert figures[RoundMetric.LENGTH_AFTER] == pytest.approx((3 - 2 - 2) / math.sqrt((5 + 2) * 9))
    assert figures[RoundMetric.WITH_REFERENCE] == pytest.approx(-figures[RoundMetric.LENGTH_BEFORE])
    assert math.isnan(figures[RoundMetric.WITH_POLICY])
    assert figures[RoundMetric.LOG_RATIO] == pytest.approx(0.2)
    assert figures[RoundMetric.TRUNCATED] == figures[RoundMetric.DUPLICATES] == 1 / 8
    assert figures[RoundMetric.EMPTY] == figures[RoundMetric.REPEATING] == 1 / 8
    assert math.isnan(figures[RoundMetric.OFF_LANGUAGE])
    assert set(found) == set(RoundMetric)


WELL = {
    RoundMetric.PAIRS: 1.0,
    RoundMetric.EQUAL_REWARDS: 0.0,
    RoundMetric.LENGTH_AFTER: 0.05,
    RoundMetric.LOG_RATIO: 0.05,
    RoundMetric.TRUNCATED: 0.0,
    RoundMetric.OFF_LANGUAGE: math.nan,
}


@pytest.mark.parametrize(
    ("change", "level", "name"),
    [
        ({}, Level.GO, None),
        ({RoundMetric.EQUAL_REWARDS: 1.0, RoundMetric.PAIRS: 0.0}, Level.NO_GO, "equal_rewards"),
        ({RoundMetric.LOG_RATIO: 6.0}, Level.NO_GO, "log_ratio"),
        ({RoundMetric.LOG_RATIO: -6.0}, Level.NO_GO, "log_ratio"),
        ({RoundMetric.LENGTH_AFTER: -0.9}, Level.NO_GO, "length"),
        ({RoundMetric.LENGTH_AFTER: 0.4}, Level.CAUTION, "length"),
        ({RoundMetric.PAIRS: 0.1}, Level.NO_GO, "pairs"),
        ({RoundMetric.TRUNCATED: 0.3}, Level.CAUTION, "truncated"),
        ({RoundMetric.REPEATING: 0.8}, Level.NO_GO, "repeating"),
        ({RoundMetric.OFF_LANGUAGE: 0.2}, Level.CAUTION, "off_language"),
    ],
)
def test_a_figure_beyond_its_limit_is_the_reason_and_no_other(diagnosis, change, level, name):
    figures = {
        str(metric): {"sw": value, "en": WELL[metric]} for metric, value in (WELL | change).items() if metric in WELL
    }
    figures |= {str(metric): {"sw": value} for metric, value in change.items() if metric not in WELL}
    verdicts = diagnosis.verdicts(figures)
    assert verdicts["en"].level == Level.GO
    assert verdicts["sw"].level == level
    assert [reason.name for reason in verdicts["sw"].reasons] == ([name] if name else [])


def test_a_run_stops_where_it_is_told_to(diagnosis):
    bad = {RoundMetric.LOG_RATIO: {"en": 0.01, "sw": 6.0}}
    diagnosis.check("round_0", bad)
    with pytest.raises(RunError, match=r"round_0 is not trained.*sw is no-go: policy and reference are \+6.00 nats"):
        replace(diagnosis, stop="no_go").check("round_0", bad)
    mild = {RoundMetric.LOG_RATIO: {"sw": 1.0}}
    replace(diagnosis, stop="no_go").check("round_0", mild)
    with pytest.raises(RunError, match="sw is caution"):
        replace(diagnosis, stop="caution").check("round_0", mild)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stop": "yes"}, "stop must be no_go, caution or null"),
        ({"confidence": 1.0}, "confidence must be above 0 and below 1"),
    ],
)
def test_other_settings_are_refused(diagnosis, change, words):
    with pytest.raises(ValueError, match=words):
        replace(diagnosis, **change)


@pytest.mark.parametrize("limit", [{"caution": 0.1}, None, {"caution": "much", "no_go": None}])
def test_a_limit_says_both_levels(diagnosis, limit):
    with pytest.raises(ValueError, match="pairs"):
        replace(diagnosis.limits, pairs=limit)


@pytest.mark.slow
def test_a_large_round_takes_seconds():
    """3000 prompts × 9 languages × 10 responses of 600 characters."""
    rng = np.random.default_rng(0)
    codes = ["en", "es", "ru", "de", "fr", "bn", "sw", "th", "zh"]
    text = "an answer of some length that says this and that about it " * 10
    responses = [
        response(str(n), code, k, text=f"{n} {k} {text}") for code in codes for n in range(3000) for k in range(10)
    ]
    rows = [scored(r.id, r.language, r.k, float(x)) for r, x in zip(responses, rng.random(len(responses)), strict=True)]
    started = time.perf_counter()
    own_figures(
        tabulated(responses, rows, {}), responses, dict.fromkeys(codes, 0.01), dict.fromkeys(codes, 3000), identify=True
    )
    assert time.perf_counter() - started < 30
