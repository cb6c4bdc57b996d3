"""Evaluation by a judge: one answer to each evaluation prompt, marked, and compared with the judge's opponent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from icr.evaluation.accuracy import reward_accuracy
from icr.evaluation.length_controlled import length_controlled_win_rate
from icr.evaluation.win_rate import (
    by_language,
    preferences,
    win_rate,
    win_rate_standard_error,
    with_mean,
    with_mean_error,
)
from icr.models.loading import LoadedModel
from icr.types import Judge, Prompt, PromptSource, Response, ScoredResponse


@dataclass(frozen=True, slots=True)
class JudgedResponse:
    """One evaluated answer beside its opponent. `characters` is of the text, `tokens` of the sampled ids."""

    id: str
    language: str
    prompt: str
    text: str
    tokens: int
    characters: int
    score: float
    opponent: str
    opponent_score: float
    finish_reason: str


@dataclass(frozen=True)
class JudgedEvaluation:
    """Judges models on the prompts of a split. Config group `evaluation`.

    Attributes:
        judge: marks answers, and knows the opponent.
        prompts: where the prompts to be answered come from.
        split: of that source: `dev` for tuning, `test` for tables.
        n: answers a prompt (decoded as training samples are, unless `sampling` says otherwise).
        sampling: settings of the sampler to replace, such as `{"temperature": 0.6}`; empty decodes as generation does.
        reward_prompts: reward prompts by name, whose accuracy is measured on the first round's responses.
    """

    judge: Judge
    prompts: PromptSource
    split: str = "test"
    n: int = 1
    sampling: Mapping[str, Any] = field(default_factory=dict)
    reward_prompts: Mapping[str, Any] = field(default_factory=dict)

    def judged(
        self,
        model: LoadedModel,
        prompts: Sequence[Prompt],
        sampler: Any,
        seed: tuple,
        on_batch: Callable[[int], object],
    ) -> list[JudgedResponse]:
        """Sample, mark and compare."""
        own = replace(sampler, n=self.n, **self.sampling)
        try:
            responses = own.sample(model, prompts, seed, on_batch)
        finally:
            own.release()
        by_key = {(prompt.id, prompt.language): prompt for prompt in prompts}
        return [self._judge(response, by_key[response.id, response.language]) for response in responses]

    def accuracy(
        self, scored: Sequence[ScoredResponse], responses: Sequence[Response], prompts: Mapping[tuple[str, str], Prompt]
    ) -> dict[str, float]:
        """Share of pairs of one prompt's responses that the reward orders as the judge does, by language."""
        rewards = [score.reward for score in scored]
        judged = [self.judge.score(prompts[r.id, r.language], r.text) for r in responses]
        ids = [response.id for response in responses]
        languages = [response.language for response in responses]
        return with_mean(by_language(reward_accuracy, languages, rewards, judged, ids))

    def _judge(self, response: Response, prompt: Prompt) -> JudgedResponse:
        opponent = self.judge.opponent(prompt)
        return JudgedResponse(
            id=response.id,
            language=response.language,
            prompt=prompt.text,
            text=response.text,
            tokens=len(response.response_ids),
            characters=len(response.text),
            score=self.judge.score(prompt, response.text),
            opponent=opponent,
            opponent_score=self.judge.score(prompt, opponent),
            finish_reason=response.finish_reason,
        )


def metrics(rows: Sequence[JudgedResponse]) -> dict[str, dict[str, float]]:
    """Figures of one model, each by language with their mean over the target languages.

    Returns:
        `win_rate` and `lc_win_rate` in percent, `win_rate_se` in percentage points, `judge_score` as the judge marks.
    """
    languages = [row.language for row in rows]
    scores = [row.score for row in rows], [row.opponent_score for row in rows]
    lengths = [row.characters for row in rows], [len(row.opponent) for row in rows]
    return {
        "win_rate": with_mean(by_language(win_rate, languages, *scores)),
        "win_rate_se": with_mean_error(by_language(win_rate_standard_error, languages, *scores)),
        "lc_win_rate": with_mean(by_language(length_controlled_win_rate, languages, preferences(*scores), *lengths)),
        "judge_score": with_mean(by_language(np.mean, languages, scores[0])),
    }
