"""Annotators: what puts a reward on responses. Config group `reward`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import torch

from icr.checks import require_number
from icr.data import RewardPrompt
from icr.errors import RunError
from icr.judges import Answer, PointwiseJudge, Score, is_pointwise
from icr.logps import NonFiniteLogpError
from icr.models.loading import LoadedModel
from icr.modules.scorer import ImplicitRewardModule
from icr.rewards import implicit_reward
from icr.rundir import fingerprint
from icr.types import Prompt, Response, ScoredResponse

Prompts = Mapping[tuple[str, str], Prompt]
OnBatch = Callable[[int], object]
LoadScorer = Callable[[tuple[str, str], LoadedModel], ImplicitRewardModule]

TRUNCATED = "cut by the length limit"
UNSCORED = "not scored by the judge"


class Annotator(Protocol):
    """Rewards responses of one round.

    Attributes:
        passes: how often it reports each response as done: once per model that scores it.
    """

    passes: ClassVar[int]

    def annotate(
        self, responses: Sequence[Response], prompts: Prompts, policy: LoadedModel, on_batch: OnBatch
    ) -> list[ScoredResponse]:
        """One `ScoredResponse` a response, in order."""

    def release(self) -> None:
        """Free what was loaded, before the training that follows."""


class Reward(Protocol):
    """Settings of an annotator. Config group `reward`.

    Attributes:
        needs_reward_pair: whether it scores with the reward pair.
        prompted: whether it depends on the reward prompt.
    """

    needs_reward_pair: ClassVar[bool]
    prompted: ClassVar[bool]

    @property
    def models(self) -> Mapping[str, str]:
        """Paths of models of its own, by the setting that names them: keys of stages have their content instead."""

    def require(self) -> None:
        """See that what it needs is there, before anything is sampled.

        Raises:
            ICRError: it is not.
        """

    def for_round(self, prompt: RewardPrompt, pair: tuple[str, str], load_scorer: LoadScorer) -> Annotator:
        """The annotator of one round.

        Args:
            prompt: the reward prompt (`icr.data.reward_prompts`).
            pair: paths of the reward policy and reference.
            load_scorer: loads the pair, given the round's policy, with which it may share weights.
        """


@dataclass(frozen=True)
class ImplicitReward:
    """The method's reward, `r = β·[log π_0(y|x) − log π_I(y|x)]` under a reward prompt."""

    beta: float = 0.1
    """`β` of the implicit reward."""
    token_clip: float | None = None
    """Upper clip of a token's log-ratio in nats; 0 is the pessimistic reward, None is off."""
    keep_truncated: bool = False
    """Whether responses cut by the length limit may take part in pairs."""

    needs_reward_pair: ClassVar[bool] = True
    prompted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_number("beta", self.beta, above=0)
        if self.token_clip is not None:
            require_number("token_clip", self.token_clip, otherwise="or null")

    @property
    def models(self) -> Mapping[str, str]:
        """None of its own."""
        return {}

    def require(self) -> None:
        """Nothing besides the reward pair."""

    def for_round(self, prompt: RewardPrompt, pair: tuple[str, str], load_scorer: LoadScorer) -> ImplicitAnnotator:
        """The annotator that scores with `pair` under `prompt`."""
        return ImplicitAnnotator(self, prompt, pair, load_scorer)


@dataclass
class ImplicitAnnotator:
    """Scores responses with a pair of models, loaded when the first response comes."""

    reward: ImplicitReward
    prompt: RewardPrompt
    pair: tuple[str, str]
    load_scorer: LoadScorer
    scorer: ImplicitRewardModule | None = None

    passes: ClassVar[int] = 2

    def annotate(
        self, responses: Sequence[Response], prompts: Prompts, policy: LoadedModel, on_batch: OnBatch
    ) -> list[ScoredResponse]:
        """Score under the reward prompt.

        Raises:
            RunError: a log-prob is not finite; the response is named.
        """
        sequences = self.prompt.sequences(responses, prompts, policy)
        self.scorer = self.scorer or self.load_scorer(self.pair, policy)
        try:
            scored = self.scorer.predict_step(sequences, on_batch=on_batch)
        except NonFiniteLogpError as error:
            bad = responses[error.index]
            raise RunError(
                f"The log-probs of response {bad.k} to prompt {bad.id!r} in {bad.language!r} are not finite under the "
                f"reward pair {self.pair[0]} / {self.pair[1]}: the weights hold NaN, or their dtype overflows (try "
                f"model.loader.dtype=float32)."
            ) from error
        return [
            as_scored(
                response,
                implicit_reward(ours, theirs, beta=self.reward.beta, token_clip=self.reward.token_clip),
                float(np.sum(ours, dtype=np.float64)),
                float(np.sum(theirs, dtype=np.float64)),
                self.reward.keep_truncated,
            )
            for response, (ours, theirs) in zip(responses, scored, strict=True)
        ]

    def release(self) -> None:
        """Let go of the reward pair's weights."""
        self.scorer = None
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class JudgeReward:
    """A judge's score as the reward, with Bradley–Terry noise: how English preference pairs are made of own samples.

    `P(a preferred to b) = σ(slope·(score_a − score_b) + length_bias·(|a| − |b|))`, drawn as
    `slope·score + length_bias·tokens + Gumbel noise`, seeded per response.
    """

    judge: PointwiseJudge
    """Scores responses one by one."""
    slope: float
    """Sharpness of the labels; `inf` never errs."""
    length_bias: float = 0.0
    """Logits a token in favour of the longer response: labels that like length, as people's and models' often do."""
    seed: int = 0
    keep_truncated: bool = False

    needs_reward_pair: ClassVar[bool] = False
    prompted: ClassVar[bool] = False
    passes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.judge:
            raise ValueError(
                "judge is missing: reward=judge takes the run's judge; add judge=<option>, such as judge=pocket for "
                "the embedded world"
            )
        if not is_pointwise(self.judge):
            raise ValueError(f"judge must score answers one by one, and {type(self.judge).__name__} compares only")
        if self.slope != math.inf:
            require_number("slope", self.slope, above=0, otherwise="or .inf")
        require_number("length_bias", self.length_bias)
        if self.length_bias and math.isinf(self.slope):
            raise ValueError("length_bias is in logits of labels that may err: it needs a finite slope")

    @property
    def models(self) -> Mapping[str, str]:
        """None of its own."""
        return {}

    def require(self) -> None:
        """Nothing besides the judge."""

    def for_round(self, prompt: RewardPrompt, pair: tuple[str, str], load_scorer: LoadScorer) -> JudgeReward:
        """Itself: a judge needs neither models nor a reward prompt."""
        return self

    def annotate(
        self, responses: Sequence[Response], prompts: Prompts, policy: LoadedModel, on_batch: OnBatch
    ) -> list[ScoredResponse]:
        """Judge every response; one that the judge gives no score is not usable."""
        answers = [Answer(prompts[response.id, response.language], response.text) for response in responses]
        scores = self.judge.score(answers)
        on_batch(len(responses))
        return [self._reward(response, score) for response, score in zip(responses, scores, strict=True)]

    def release(self) -> None:
        """Nothing was loaded."""

    def _reward(self, response: Response, score: Score) -> ScoredResponse:
        if score.value is None:
            unscored = as_scored(response, math.nan, math.nan, math.nan, self.keep_truncated)
            return replace(unscored, usable=False, reason=f"{UNSCORED}: {score.reason}")
        reward = score.value if math.isinf(self.slope) else self._logit(response, score.value) + self._gumbel(response)
        return as_scored(response, reward, math.nan, math.nan, self.keep_truncated)

    def _logit(self, response: Response, score: float) -> float:
        return self.slope * score + self.length_bias * len(response.response_ids)

    def _gumbel(self, response: Response) -> float:
        key = fingerprint.of_value([self.seed, response.language, response.id, response.k])
        return float(np.random.default_rng(int(key, 16)).gumbel())


def as_scored(
    response: Response, reward: float, policy_logp: float, reference_logp: float, keep_truncated: bool
) -> ScoredResponse:
    """The response with its reward; one that was cut by the length limit is not usable unless it is to be kept."""
    cut = response.finish_reason == "length" and not keep_truncated
    return ScoredResponse(
        id=response.id,
        language=response.language,
        k=response.k,
        reward=reward,
        policy_logp=policy_logp,
        reference_logp=reference_logp,
        tokens=len(response.response_ids),
        characters=len(response.text),
        bytes=len(response.text.encode()),
        usable=not cut,
        reason=TRUNCATED if cut else "",
    )
