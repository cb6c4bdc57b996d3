"""What an evaluation takes, and how it is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icr.data import MultilingualPrompt
from icr.errors import ConfigError
from icr.evaluation import JudgedEvaluation
from icr.judges import ScoresCompared
from tests.evaluation.fakes import Comparing, References, Sampler, Scoring


def evaluation(judge, **more) -> JudgedEvaluation:
    return JudgedEvaluation(judge, References(), None, **more)


def test_a_judge_is_needed():
    with pytest.raises(ValueError, match=r"judge is missing: .*add judge=<option>.*or give evaluation=none"):
        evaluation(None)


def test_reward_accuracy_needs_a_judge_that_scores():
    prompts = {"multilingual": MultilingualPrompt()}
    assert evaluation(Scoring({}), reward_prompts=prompts).pointwise == Scoring({})
    with pytest.raises(ValueError, match="reward_prompts must be empty with Comparing"):
        evaluation(Comparing({}), reward_prompts=prompts)
    with pytest.raises(ConfigError, match="Comparing compares two answers, and scores none"):
        _ = evaluation(Comparing({})).pointwise


def test_any_judge_compares_and_remembers():
    judge = Comparing({})
    assert evaluation(judge).pairwise is judge
    scoring = evaluation(Scoring({}))
    assert scoring.pairwise == ScoresCompared(Scoring({}))
    assert scoring.pairwise is scoring.pairwise
    assert replace(scoring, n=2).pairwise is not scoring.pairwise


def test_decoding_is_the_samplers_but_for_what_is_replaced():
    base = Sampler(n=10, temperature=0.9)
    assert evaluation(Comparing({})).decoding(base) == Sampler(1, 0.9)
    assert evaluation(Comparing({}), n=4, sampling={"temperature": 0.6}).decoding(base) == Sampler(4, 0.6)
    with pytest.raises(ConfigError, match="sampling: object must be a dataclass"):
        evaluation(Comparing({})).decoding(object())
