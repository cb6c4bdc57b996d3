"""How models are evaluated. Config group `evaluation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from icr.checks import require_integer
from icr.data import RewardPrompt
from icr.errors import ConfigError
from icr.evaluation.answering import PromptAnswers
from icr.evaluation.benchmark import Setting
from icr.evaluation.comparing import OpenEvaluation
from icr.evaluation.comparison import check_difficulty
from icr.judges import (
    Judge,
    PairwiseJudge,
    PointwiseJudge,
    ReferenceAnswers,
    is_pointwise,
    pairwise,
    reference_answers,
)
from icr.rounds.gates import ResponseGate
from icr.sampling import Sampler
from icr.sampling.decoding import with_settings
from icr.types import PromptSource


@dataclass(frozen=True)
class JudgedEvaluation:
    """Models answer the prompts of a split, and a judge compares their answers with reference answers.

    Raises:
        ValueError: there is no judge, or one that cannot say how accurate `reward_prompts` are.
    """

    judge: Judge
    """Scores answers, compares them, or both."""
    references: ReferenceAnswers
    """The answers that the models' own are compared with."""
    prompts: PromptSource
    """Where the prompts to be answered come from."""
    split: str = "test"
    """Of that source: `dev` for tuning, `test` for tables."""
    n: int = 1
    """Answers per prompt (decoded as training samples are, unless `sampling` says otherwise)."""
    seed: int | None = None
    """Of the answers; None takes the run's."""
    sampling: Mapping[str, object] = field(default_factory=dict)
    """Settings of the sampler to replace, such as `{"temperature": 0.6}`; empty decodes as generation does."""
    language_check: ResponseGate | None = None
    """Answers that it refuses are counted as in another language; None does not look."""
    difficulty: str | None = field(default=None, compare=False)
    """Of prompts, for length control: `alpaca_eval` (the table of its 805), `joint` (fitted to the models compared), or
    None."""
    reward_prompts: Mapping[str, RewardPrompt] = field(default_factory=dict)
    """Reward prompts by name, whose accuracy is measured on the first round's responses."""

    name: ClassVar[str] = "win_rate"

    def __post_init__(self) -> None:
        check_difficulty(self.difficulty)
        if self.seed is not None:
            require_integer("seed", self.seed)
        if not self.judge:
            raise ValueError(
                "judge is missing: answers are compared by a judge; add judge=<option>, such as judge=pocket for the "
                "embedded world, or give evaluation=none"
            )
        if self.reward_prompts and not is_pointwise(self.judge):
            raise ValueError(
                f"reward_prompts must be empty with {type(self.judge).__name__}: the accuracy of rewards is measured "
                f"by a judge that scores answers one by one, and this one only compares two"
            )

    @cached_property
    def pairwise(self) -> PairwiseJudge:
        """The judge as one that compares. It is one object, which remembers what it has scored."""
        return pairwise(self.judge)

    @property
    def pointwise(self) -> PointwiseJudge:
        """The judge as one that scores.

        Raises:
            ConfigError: it does not.
        """
        if not is_pointwise(self.judge):
            raise ConfigError(f"judge: {type(self.judge).__name__} compares two answers, and scores none by itself.")
        return self.judge

    def require(self) -> None:
        """Refuse a machine that lacks what the judge needs."""
        self.judge.require()

    def open(self, setting: Setting) -> OpenEvaluation:
        """Read prompts and reference answers.

        Raises:
            DataError: a file is not as it should be, or a prompt has no reference answer.
        """
        sampler = self.decoding(setting.sampler)
        given = setting.usable(self.prompts.prompts(setting.languages, self.split), sampler.max_new_tokens)
        answering = PromptAnswers(given, sampler, self.seed)
        return OpenEvaluation(self, answering, reference_answers(self.references, given.prompts))

    def decoding(self, sampler: Sampler) -> Sampler:
        """The run's sampler with this evaluation's settings.

        Raises:
            ConfigError: settings are to be replaced in a sampler that is no dataclass.
        """
        return with_settings(sampler, {"n": self.n, **self.sampling})
