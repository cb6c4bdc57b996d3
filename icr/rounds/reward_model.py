"""An explicit reward model as annotator: any sequence classifier of one label, under the reward prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from transformers import PreTrainedModel

from icr.checks import require_counts
from icr.data import RewardPrompt
from icr.data.context import TURN_TOKENS
from icr.errors import RunError
from icr.models.classifier import check_classifier, classify, load_classifier
from icr.models.dtypes import torch_dtype
from icr.models.loading import LoadedModel
from icr.models.rendering import Renderer
from icr.models.template import template_text
from icr.rounds.annotate import LoadScorer, OnBatch, Prompts, as_scored
from icr.types import Response, ScoredResponse

TOO_LONG = "longer than the reward model's context"


@dataclass(frozen=True)
class ModelReward:
    """`r(x, y)` is the logit that a reward model gives the conversation of the reward prompt `x` and the answer `y`.

    The rival of the implicit reward: under the English prompt (`reward_prompt=crosslingual`) a reward model that was
    trained on English preferences rewards answers in other languages, too (CroCo, 14 languages). The conversation is
    rendered by the reward model's own tokenizer and chat template, and cut nowhere.

    Attributes:
        path: folder or hub name of a sequence classifier with one label, in safetensors.
        dtype: of its weights.
        device: where it runs; None for the policy's.
        chat_template: Jinja template in place of its tokenizer's, as text or as a file `*.jinja`; empty for that.
        tokens_per_batch: padded tokens of one pass.
        trust_remote_code: whether the model's own code may run.
        keep_truncated: whether responses cut by the length limit may take part in pairs.

    Raises:
        ValueError: `dtype` is none, or `tokens_per_batch` no count.
    """

    path: str
    dtype: str = "float32"
    device: str | None = field(default=None, compare=False)
    chat_template: str = ""
    tokens_per_batch: int = field(default=16384, compare=False)
    trust_remote_code: bool = field(default=False, compare=False)
    keep_truncated: bool = False

    needs_reward_pair: ClassVar[bool] = False
    prompted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        torch_dtype(self.dtype)
        require_counts(self, "tokens_per_batch")
        object.__setattr__(self, "chat_template", template_text(self.chat_template))

    @property
    def models(self) -> Mapping[str, str]:
        """The reward model."""
        return {"path": self.path}

    def require(self) -> None:
        """See that the reward model can be used, before anything is sampled.

        Raises:
            ModelError: as `icr.models.classifier.check_classifier`.
        """
        check_classifier(self.path, self.chat_template, self.trust_remote_code)

    def for_round(self, prompt: RewardPrompt, pair: tuple[str, str], load_scorer: LoadScorer) -> ModelAnnotator:
        """The annotator that scores under `prompt`."""
        return ModelAnnotator(self, prompt, *check_classifier(self.path, self.chat_template, self.trust_remote_code))


@dataclass
class ModelAnnotator:
    """Scores responses with a reward model, loaded when the first response comes.

    Attributes:
        renderer: of the reward model.
        context: positions that it takes; None where it states none.
    """

    reward: ModelReward
    prompt: RewardPrompt
    renderer: Renderer
    context: int | None
    model: PreTrainedModel | None = None

    passes: ClassVar[int] = 1

    def annotate(
        self, responses: Sequence[Response], prompts: Prompts, policy: LoadedModel, on_batch: OnBatch
    ) -> list[ScoredResponse]:
        """Score under the reward prompt; what the reward model cannot read is not usable, and says why.

        Raises:
            RunError: a reward is not finite; the response is named.
        """
        texts = self._texts(responses, prompts, policy)
        reasons = [self._unreadable(*pair) for pair in texts]
        fine = [n for n, reason in enumerate(reasons) if not reason]
        on_batch(len(responses) - len(fine))
        reward = self.reward
        device = reward.device or policy.model.device
        self.model = self.model or load_classifier(reward.path, reward.dtype, device, reward.trust_remote_code)
        conversations = [self._ids(*texts[n]) for n in fine]
        values = classify(self.model, conversations, tokens_per_batch=reward.tokens_per_batch, on_batch=on_batch)
        known = dict(zip(fine, values, strict=True))
        return [self._scored(response, known.get(n), reasons[n]) for n, response in enumerate(responses)]

    def release(self) -> None:
        """Let go of the reward model's weights."""
        self.model = None
        torch.cuda.empty_cache()

    def _texts(self, responses: Sequence[Response], prompts: Prompts, policy: LoadedModel) -> list[tuple[str, str]]:
        """Prompt and answer as text: an answer that the reward prompt translates is the translation."""
        sequences = self.prompt.sequences(responses, prompts, policy)
        return [
            (self.prompt.text(prompts[response.id, response.language]), policy.renderer.text(ids))
            for response, (_, ids) in zip(responses, sequences, strict=True)
        ]

    def _unreadable(self, prompt: str, answer: str) -> str:
        """Why the reward model cannot read the conversation; empty where it can."""
        if self.renderer.has_turn_tokens(prompt) or self.renderer.has_turn_tokens(answer):
            return TURN_TOKENS
        return TOO_LONG if self.context is not None and len(self._ids(prompt, answer)) > self.context else ""

    def _ids(self, prompt: str, answer: str) -> list[int]:
        return self.renderer.ids([{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}])

    def _scored(self, response: Response, value: float | None, reason: str) -> ScoredResponse:
        if value is None:
            unscored = as_scored(response, math.nan, math.nan, math.nan, self.reward.keep_truncated)
            return replace(unscored, usable=False, reason=reason)
        if not math.isfinite(value):
            raise RunError(
                f"The reward of response {response.k} to prompt {response.id!r} in {response.language!r} is not finite "
                f"under the reward model {self.reward.path}: its weights hold NaN, or their dtype overflows (try "
                f"reward.dtype=float32)."
            )
        return as_scored(response, value, math.nan, math.nan, self.reward.keep_truncated)
