"""Accuracy of reward prompts on a round's responses."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest

from icr.evaluation import reward_accuracies, rewards_under
from icr.rundir import Key, RunDirectory
from icr.types import Response, ScoredResponse
from tests.evaluation.fakes import PROMPTS, Scoring

BY_KEY = {(p.id, p.language): p for p in PROMPTS}
RESPONSES = [Response(p.id, p.language, k, [1], [5, 2], f"{p.id}{k}", "stop") for p in PROMPTS for k in range(2)]
VALUES = {"p0": 0.9, "p1": 0.1, "q0": 0.2, "q1": 0.7}


def scored(*rewards: float) -> list[ScoredResponse]:
    """Rewards of the responses, in order."""
    return [
        ScoredResponse(r.id, r.language, r.k, reward, 0.0, 0.0, 2, 2, 2)
        for r, reward in zip(RESPONSES, rewards, strict=True)
    ]


REWARDS = {
    "right": scored(2, 1, 1, 2, 2, 1, 1, 2),
    "half": scored(2, 1, 2, 1, 2, 1, 1, 1),
}


def test_every_response_is_scored_once_for_all_reward_prompts():
    judge = Scoring(VALUES)
    accuracy = reward_accuracies(judge, RESPONSES, BY_KEY, REWARDS)
    assert accuracy == {"right": {"mean": 1.0, "en": 1.0, "sw": 1.0}, "half": {"mean": 0.75, "en": 0.5, "sw": 0.75}}
    assert judge.asked == [[response.text for response in RESPONSES]]


def test_without_a_reward_prompt_nothing_is_scored():
    judge = Scoring(VALUES)
    assert reward_accuracies(judge, RESPONSES, BY_KEY, {}) == {}
    assert judge.asked == []


def test_what_has_no_score_takes_no_part_and_is_said(caplog):
    judge = Scoring({name: value for name, value in VALUES.items() if name != "q1"})
    with caplog.at_level(logging.WARNING, "icr"):
        accuracy = reward_accuracies(judge, RESPONSES, BY_KEY, {"half": REWARDS["half"]})
    assert accuracy == {"half": {"mean": 1.0, "en": 1.0, "sw": 1.0}}
    assert "reward accuracy: 2 of 8 responses have no score" in caplog.text


@dataclass
class Annotator:
    """Rewards by text; keeps what happened to it."""

    log: list[str] = field(default_factory=list)

    passes = 1

    def annotate(self, responses, prompts, policy, on_batch) -> list[ScoredResponse]:
        """Every response of the first sample is worth 1."""
        self.log.append(f"{policy} {len(responses)}")
        return [ScoredResponse(r.id, r.language, r.k, 1.0 - r.k, 0.0, 0.0, 2, 2, 2) for r in responses]

    def release(self) -> None:
        """Keep that it was."""
        self.log.append("released")


def test_rewards_are_a_stage_made_once(tmp_path):
    store, annotator = RunDirectory(tmp_path, {"evaluation/rewards_x": Key({}, {})}), Annotator()
    made = rewards_under(store, "x", annotator, lambda: "policy", RESPONSES, BY_KEY, together=2)
    assert [row.reward for row in made] == [1.0, 0.0] * 4
    assert annotator.log == ["policy 8", "released"]
    again = rewards_under(store, "x", annotator, lambda: pytest.fail("loaded again"), RESPONSES, BY_KEY, together=2)
    assert again == made
