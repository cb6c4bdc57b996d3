"""Rewards of responses, by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from icr.data.reward_prompts import CrosslingualPrompt, MultilingualPrompt
from icr.errors import RunError
from icr.judges import Answer, Comparison, PairwiseJudge, PointwiseJudge, Score, Verdict
from icr.models.loading import LoadedModel, Loader
from icr.modules.scorer import ImplicitRewardModule
from icr.rounds.annotate import TRUNCATED, UNSCORED, ImplicitReward, JudgeReward
from tests.e2e import tiny
from tests.rounds.rows import prompt, response

PROMPTS = {("p", "sw"): prompt(), ("p", "en"): prompt(language="en", text="Name a colour.")}
CROSSLINGUAL = CrosslingualPrompt("In {language}: {instruction}", {"sw": "Swahili", "en": "English"})


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[str, str]:
    """Paths of a tiny policy and reference."""
    folder = tmp_path_factory.mktemp("models")
    return tiny.byte_llama(folder / "a", 1, context=256), tiny.byte_llama(folder / "b", 2, context=256)


def load_scorer(pair: tuple[str, str], trained: LoadedModel) -> ImplicitRewardModule:
    """As the pipeline does."""
    return ImplicitRewardModule(*(Loader().load(path).model for path in pair), tokens_per_batch=64)


def annotate(reward: ImplicitReward, prompt, pair: tuple[str, str], responses: list):
    """Rewards of responses, with the policy's renderer."""
    policy = LoadedModel(None, Loader().renderer(pair[0]), pair[0])
    return reward.for_round(prompt, pair, load_scorer).annotate(responses, PROMPTS, policy, lambda done: None)


def by_hand(path: str, text: str, ids: list[int]) -> np.ndarray:
    """Token log-probs of `ids` after the rendered `text`, by a plain forward pass."""
    model = AutoModelForCausalLM.from_pretrained(path).double()
    prompt_ids = Loader().renderer(path).prompt_ids(text)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt_ids, *ids]])).logits[0]
    logps = logits.log_softmax(-1)[len(prompt_ids) - 1 : -1]
    return logps[torch.arange(len(ids)), torch.tensor(ids)].numpy()


RESPONSES = [
    response(k=0, ids=(70, 71, 72, 256), text="abc"),
    response(k=1, ids=(256,), text=""),
    response(language="en", k=0, ids=(200, 201, 202, 203, 204), text="ñandú", finish_reason="length"),
]
TEXTS = ["In Swahili: Name a colour.", "In Swahili: Name a colour.", "Name a colour."]


@pytest.mark.parametrize("beta", [0.1, 2.0])
@pytest.mark.parametrize("token_clip", [None, 0.0, 0.5])
def test_the_implicit_reward_by_hand(pair, beta: float, token_clip: float | None):
    rows = annotate(ImplicitReward(beta=beta, token_clip=token_clip), CROSSLINGUAL, pair, RESPONSES)
    for row, sample, text in zip(rows, RESPONSES, TEXTS, strict=True):
        ours, theirs = (by_hand(path, text, sample.response_ids) for path in pair)
        ratio = ours - theirs
        expected = beta * (ratio if token_clip is None else np.minimum(ratio, token_clip)).sum()
        assert row.reward == pytest.approx(expected, abs=1e-5 * len(ratio))
        assert row.policy_logp == pytest.approx(ours.sum(), abs=1e-4)
        assert row.reference_logp == pytest.approx(theirs.sum(), abs=1e-4)
        assert (row.id, row.language, row.k) == (sample.id, sample.language, sample.k)


def test_the_reward_prompt_decides(pair):
    crosslingual = annotate(ImplicitReward(), CROSSLINGUAL, pair, RESPONSES)
    multilingual = annotate(ImplicitReward(), MultilingualPrompt(), pair, RESPONSES)
    assert [a.reward == b.reward for a, b in zip(crosslingual, multilingual, strict=True)] == [False, False, True]


def test_lengths_and_cut_responses(pair):
    rows = annotate(ImplicitReward(), CROSSLINGUAL, pair, RESPONSES)
    assert [(row.tokens, row.characters, row.bytes) for row in rows] == [(4, 3, 3), (1, 0, 0), (5, 5, 7)]
    assert [(row.usable, row.reason) for row in rows] == [(True, ""), (True, ""), (False, TRUNCATED)]
    kept = annotate(ImplicitReward(keep_truncated=True), CROSSLINGUAL, pair, RESPONSES)
    assert all(row.usable and row.reason == "" for row in kept)


def test_a_reward_depends_on_nothing_but_its_response(pair):
    together = annotate(ImplicitReward(), CROSSLINGUAL, pair, RESPONSES)
    alone = [annotate(ImplicitReward(), CROSSLINGUAL, pair, [sample])[0] for sample in RESPONSES]
    for one, other in zip(together, alone, strict=True):
        assert one.reward == pytest.approx(other.reward, abs=1e-6)


def test_broken_weights_name_the_response(pair, tmp_path: Path):
    model = AutoModelForCausalLM.from_pretrained(pair[1])
    with torch.no_grad():
        model.model.embed_tokens.weight[201] = math.nan
    Loader().renderer(pair[1]).tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    with pytest.raises(RunError, match=r"response 0 to prompt 'p' in 'en' are not finite"):
        annotate(ImplicitReward(), CROSSLINGUAL, (pair[0], str(tmp_path)), RESPONSES)


@pytest.mark.parametrize("beta", [0, -1, True, "0.1"])
def test_beta_is_above_zero(beta):
    with pytest.raises(ValueError, match=r"beta must be (above 0|a finite number)"):
        ImplicitReward(beta=beta)


@dataclass
class LengthJudge(PointwiseJudge):
    """Scores by length; keeps count, which is no setting."""

    weight: float = 0.01
    scores: ClassVar[bool] = True
    compares: ClassVar[bool] = False

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """Longer is better."""
        return [Score(self.weight * len(answer.text)) for answer in answers]


class Reluctant(LengthJudge):
    """Scores nothing that is empty."""

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """Longer is better, but for nothing."""
        return [Score(None, "empty") if not a.text else s for a, s in zip(answers, super().score(answers), strict=True)]


class Comparing(PairwiseJudge):
    """Compares only."""

    scores: ClassVar[bool] = False
    compares: ClassVar[bool] = True

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """All tie."""
        return [Verdict(0.5) for _ in comparisons]


def judge(reward: JudgeReward, responses: list) -> list[float]:
    """Rewards by a judge."""
    done: list[int] = []
    rows = reward.for_round(None, ("", ""), None).annotate(responses, PROMPTS, None, done.append)
    assert sum(done) == len(responses)
    return [row.reward for row in rows]


def test_a_judge_without_noise():
    assert judge(JudgeReward(LengthJudge(), math.inf), RESPONSES) == pytest.approx([0.03, 0.0, 0.05])


@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0])
def test_a_judges_labels_follow_bradley_terry(gap: float):
    """The better of two is preferred at the rate σ(slope·gap), over many pairs."""
    count, slope = 4000, 2.0
    better = round(100 * gap / slope)
    responses = [response(k=k, text="x" * (better if k % 2 else 0)) for k in range(2 * count)]
    rewards = np.array(judge(JudgeReward(LengthJudge(), slope), responses)).reshape(count, 2)
    rate = (rewards[:, 1] > rewards[:, 0]).mean()
    assert rate == pytest.approx(1 / (1 + math.exp(-gap)), abs=4 * 0.5 / math.sqrt(count))


def test_labels_that_like_length_do_so_by_the_token():
    """The same noise, and 0.15 logits for each token of the answer: 4, 1 and 5 of them."""
    plain, biased = (judge(JudgeReward(LengthJudge(), 10.0, length_bias=b), RESPONSES) for b in (0.0, 0.15))
    assert np.subtract(biased, plain) == pytest.approx([0.6, 0.15, 0.75])


def test_labels_that_never_err_like_no_length():
    with pytest.raises(ValueError, match="length_bias is in logits of labels that may err"):
        JudgeReward(LengthJudge(), math.inf, length_bias=0.15)


def test_a_judges_noise_is_of_the_response_and_the_seed():
    first = judge(JudgeReward(LengthJudge(), 10.0, seed=1), RESPONSES)
    assert judge(JudgeReward(LengthJudge(), 10.0, seed=1), RESPONSES[::-1]) == first[::-1]
    assert judge(JudgeReward(LengthJudge(), 10.0, seed=2), RESPONSES) != first


def test_a_judge_is_needed_and_sharp():
    with pytest.raises(ValueError, match="judge is missing"):
        JudgeReward(None, 10.0)
    with pytest.raises(ValueError, match="judge must score answers one by one, and Comparing compares only"):
        JudgeReward(Comparing(), 10.0)
    with pytest.raises(ValueError, match="slope must be above 0"):
        JudgeReward(LengthJudge(), 0.0)


def test_what_the_judge_does_not_score_is_not_usable():
    rows = JudgeReward(Reluctant(), 10.0).annotate(RESPONSES, PROMPTS, None, lambda done: None)
    assert [row.usable for row in rows] == [True, False, False]
    assert [row.reason for row in rows] == ["", f"{UNSCORED}: empty", TRUNCATED]
