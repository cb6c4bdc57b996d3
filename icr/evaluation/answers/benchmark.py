"""The benchmark `answers`: what models answer, described without a judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from icr.checks import require_counts, require_integer
from icr.errors import ConfigError
from icr.evaluation.answering import PromptAnswers
from icr.evaluation.answers import figures
from icr.evaluation.answers.described import DescribedAnswer, described
from icr.evaluation.benchmark import Bench, Setting, StageParts, Subject
from icr.rounds.gates import ResponseGate
from icr.rundir.benchmarks import described_stage
from icr.rundir.measured import Result
from icr.sampling.decoding import with_settings
from icr.types import Prompt, PromptSource


@dataclass(frozen=True)
class Answers:
    """Models answer the prompts of an evaluation; nobody judges them.

    Raises:
        ValueError: a number is out of range.
    """

    prompts: PromptSource | None
    """Where the prompts to be answered come from."""
    split: str = "test"
    """Of that source."""
    n: int = 1
    """Answers per prompt."""
    seed: int | None = None
    """Of the answers; None takes the run's."""
    sampling: Mapping[str, object] = field(default_factory=dict)
    """Settings of the sampler to replace, such as `{"temperature": 0.6}`."""
    language_check: ResponseGate | None = None
    """Answers that it refuses are counted as in another language; None does not look."""

    name: ClassVar[str] = "answers"

    def __post_init__(self) -> None:
        require_counts(self, "n")
        if self.seed is not None:
            require_integer("seed", self.seed)

    def require(self) -> None:
        """Nothing besides the sampler."""

    def open(self, setting: Setting) -> OpenAnswers:
        """Read the prompts.

        Raises:
            ConfigError: there are none, or the sampler has no such settings.
            DataError: a file is not as it should be.
        """
        if self.prompts is None:
            raise ConfigError(
                "benchmark=answers takes the prompts of an evaluation, and there is none: choose one with "
                "evaluation=<option>, such as x_alpacaeval, or parallel for prompts of your own. Neither a judge nor "
                "reference answers are needed."
            )
        sampler = with_settings(setting.sampler, {"n": self.n, **self.sampling})
        given = self.prompts.prompts(setting.languages, self.split)
        usable = setting.usable(given, sampler.max_new_tokens)
        return OpenAnswers(self, PromptAnswers(usable, sampler, self.seed))


@dataclass(frozen=True)
class OpenAnswers:
    """`Answers` with its prompts read.

    Attributes:
        settings: of the benchmark.
        answering: its prompts, and how they are answered.
        rows: of each model that has been measured.
    """

    settings: Answers
    answering: PromptAnswers
    rows: dict[str, list[DescribedAnswer]] = field(default_factory=dict)

    @property
    def skipped(self) -> Mapping[str, Mapping[str, int]]:
        """Prompts that a model does not take."""
        return self.answering.given.skipped

    @property
    def prompts(self) -> list[Prompt]:
        """Those that are answered."""
        return self.answering.prompts

    def stages(self, subject: Subject) -> list[StageParts]:
        """Its answers, and what is seen of them."""
        made, check = self.answering.stage(subject), {"language_check": self.settings.language_check}
        return [made, StageParts(described_stage(subject.name), {"benchmark": check}, after={"answers": made.name})]

    def measure(self, subject: Subject, bench: Bench) -> None:
        """Sample or read the answers, and look at them."""
        responses = self.answering.of(subject, bench)
        check = self.settings.language_check
        self.rows[subject.name] = described(bench.store, subject.name, responses, self.prompts, check)

    def result(self, baseline: str | None = None) -> Result:
        """Figures of every model, and how they differ."""
        return Result(*figures.result(self.rows, baseline), self._notes())

    def _notes(self) -> list[str]:
        notes = [self.answering.note()]
        if self.settings.language_check is None:
            notes.append("Nobody has looked at the language of the answers (evaluation.language_check is null).")
        return notes
