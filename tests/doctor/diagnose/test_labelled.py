"""Labelled answers cut to one length, and how well rewards order them."""

from __future__ import annotations

import numpy as np
import pytest

from icr.data import labelled
from icr.doctor.diagnose.scoring import answers
from icr.evaluation.diagnosis.accuracy import accuracies, baselines
from icr.evaluation.diagnosis.samples import tabulated
from tests.labelled_rows import row, write
from tests.rounds.rows import response, scored


@pytest.fixture
def policy(loaded, shared_model):
    """A tiny model; its tokens are bytes."""
    return loaded(shared_model())


def test_at_equal_length_neither_answer_has_an_end(tmp_path, policy):
    folder = write(tmp_path, sw=[row(1, "a", prompt_en="a", chosen="longer", rejected="abc")])
    given = labelled.read(folder, ["sw"], None, key="doctor.labelled")
    end = policy.renderer.end_of_turn_id
    whole, other, cut, short = answers(given.rows["sw"], policy)
    assert (whole.response_ids[-1], other.response_ids[-1]) == (end, end)
    assert (len(whole.response_ids), len(other.response_ids)) == (7, 4)
    assert (cut.response_ids, short.response_ids) == (whole.response_ids[:3], other.response_ids[:3])
    assert (cut.text, short.text) == ("lon", "abc")
    assert [r.k for r in (whole, other, cut, short)] == [0, 1, 2, 3]


def test_accuracy_and_baselines_by_hand():
    """Three rows: the reward is right, wrong and tied; lengths say right, right, wrong."""
    rewards, tokens = [(2.0, 1.0), (0.0, 1.0), (1.0, 1.0)], [(5, 3), (5, 3), (3, 5)]
    policy_logps, reference_logps = [(-1.0, -2.0)] * 3, [(-9.0, -3.0), (-9.0, -3.0), (-1.0, -3.0)]
    rows, responses = [], []
    for n in range(3):
        for k in range(2):
            responses.append(response(str(n), "sw", k, text=f"{n}{k}"))
            rows.append(
                scored(str(n), "sw", k, rewards[n][k], tokens=tokens[n][k], policy_logp=policy_logps[n][k],
                       reference_logp=reference_logps[n][k])
            )  # fmt: skip
    samples = tabulated(responses, rows, {})["sw"]
    labels, within = np.tile([1.0, 0.0], (3, 1)), np.ones((3, 2), bool)
    found = accuracies({"crosslingual": samples}, labels, within, main="crosslingual", confidence=0.95, tie=0)
    accuracy = found.by_prompt["crosslingual"]
    assert accuracy.reward.value == pytest.approx(1 / 3)
    assert accuracy.equal == pytest.approx(1 / 3)
    values = {name: estimate.value for name, estimate in accuracy.baselines.items()}
    assert values == {
        "longer": pytest.approx(2 / 3),
        "shorter": pytest.approx(1 / 3),
        "likelier under the policy": 1,
        "less likely under the policy": 0,
        # −1/5 against −2/3 twice, then −1/3 against −2/5.
        "likelier per token under the policy": 1,
        "less likely per token under the policy": 0,
        "likelier under the reference": pytest.approx(1 / 3),
        "less likely under the reference": pytest.approx(2 / 3),
        "likelier per token under the reference": pytest.approx(1 / 3),
        "less likely per token under the reference": pytest.approx(2 / 3),
    }
    assert accuracy.best == "likelier under the policy"
    assert accuracy.over["longer"].value == pytest.approx(-1 / 3)
    assert set(baselines(samples, equal_length=True)) == {
        f"{word} likely under the {model}".replace("more likely", "likelier")
        for word in ("more", "less")
        for model in ("policy", "reference")
    }
    strict = accuracies(
        {"crosslingual": samples}, labels, within, main="crosslingual", confidence=0.95, tie=0,
        categories=["Chat", "Chat", "Safety"],
    ).by_prompt["crosslingual"]  # fmt: skip
    assert strict.reward.value == pytest.approx((1 / 2 + 0) / 2)
