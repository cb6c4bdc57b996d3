"""The benchmark `mt_bench`: two turns, each answer graded from 1 to 10 by a model behind an endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import ClassVar

from icr.checks import require_counts, require_number
from icr.errors import ConfigError
from icr.evaluation.benchmark import Bench, Setting, StageParts, Subject
from icr.evaluation.mt_bench.answers import ByTemperature, answer_turn
from icr.evaluation.mt_bench.files import TURNS, MTFiles, MTQuestion
from icr.evaluation.mt_bench.grades import GradedTurn, differences, figures, graded
from icr.evaluation.mt_bench.grading import GradingPrompt
from icr.judges import Endpoint
from icr.rundir import fingerprint
from icr.rundir.benchmarks import grades_stage, turn_stage
from icr.rundir.measured import Result
from icr.sampling import Sampler
from icr.sampling.decoding import with_settings
from icr.types import Prompt, PromptSet, Response


@dataclass(frozen=True)
class MTBench:
    """Multilingual MT-Bench with single-answer grading (Zheng et al. 2023, arXiv 2306.05685).

    Raises:
        ValueError: there is no endpoint, or a number is out of range.
    """

    questions: MTFiles
    """Where they come from."""
    endpoint: Endpoint | None
    """The model that grades."""
    grading: GradingPrompt
    """What it reads."""
    temperatures: Mapping[str, float]
    """Temperature of the answers by category of the question."""
    temperature: float = 0.7
    """Of the answers in other categories."""
    reference_categories: Sequence[str] = ("math", "reasoning", "coding")
    """Categories in which the grader is shown a reference answer, where there is one."""
    sampling: Mapping[str, object] = field(default_factory=dict)
    """Settings of the sampler to replace, such as `{"max_new_tokens": 1024}`."""
    grade_tokens: int = 1024
    """Tokens of a grader's reply at most."""
    grader_temperature: float = 0.0
    """Of the grader; 0 is greedy."""

    name: ClassVar[str] = "mt_bench"

    def __post_init__(self) -> None:
        require_counts(self, "grade_tokens")
        for name, value in {**self.temperatures, "temperature": self.temperature}.items():
            require_number(name, value, least=0)
        require_number("grader_temperature", self.grader_temperature, least=0)
        if taken := {"n", "temperature"} & self.sampling.keys():
            raise ValueError(f"sampling must not hold {', '.join(sorted(taken))}, which this benchmark sets itself")

    def require(self) -> None:
        """Refuse a machine that lacks what the grader needs.

        Raises:
            ConfigError: there is no grader, or it cannot be asked.
        """
        self._grader.require()

    def open(self, setting: Setting) -> OpenMTBench:
        """Read the questions.

        Raises:
            ConfigError: there is no grader.
            DataError: a file is not as it should be.
        """
        sampler = with_settings(setting.sampler, {"n": 1, "temperature": 0.0, **self.sampling})
        questions = {(q.id, q.language): q for q in self.questions.questions(setting.languages)}
        given = PromptSet([Prompt(q.id, q.language, q.turns[0], q.turns[0]) for q in questions.values()])
        usable = setting.usable(given, sampler.max_new_tokens)
        kept = [questions[prompt.id, prompt.language] for prompt in usable.prompts]
        return OpenMTBench(self, self._grader, sampler, kept, usable.skipped)

    @property
    def _grader(self) -> Endpoint:
        if self.endpoint is None:
            raise ConfigError(
                "benchmark=mt_bench needs a model that grades: add judge=openai judge.endpoint.model=<name>, whose "
                "endpoint it asks."
            )
        return self.endpoint


@dataclass(frozen=True)
class OpenMTBench:
    """`MTBench` with its questions read.

    Attributes:
        settings: of the benchmark.
        endpoint: the grader's.
        sampler: as it answers, but for the temperature.
        questions: whose first turn every model takes.
        skipped: the others.
        rows: grades of each model that has been measured.
        cut_off: second turns that could not be put to a model, by its name and the reason.
    """

    settings: MTBench
    endpoint: Endpoint
    sampler: Sampler
    questions: Sequence[MTQuestion]
    skipped: Mapping[str, Mapping[str, int]]
    rows: dict[str, list[GradedTurn]] = field(default_factory=dict)
    cut_off: dict[str, Counter[str]] = field(default_factory=dict)

    @cached_property
    def temperatures(self) -> dict[str, float]:
        """Of the answers to each question, by its id."""
        settings = self.settings
        return {q.id: settings.temperatures.get(q.category, settings.temperature) for q in self.questions}

    @cached_property
    def shown(self) -> list[MTQuestion]:
        """The questions, with the reference answers that the grader is shown and no others."""
        with_reference = self.settings.reference_categories
        return [q if q.category in with_reference else replace(q, references=()) for q in self.questions]

    def stages(self, subject: Subject) -> list[StageParts]:
        """Answers to the first turns and to the second, and grades of both; none where there is no model."""
        if subject.path is None:
            return []
        first, second = (turn_stage(turn, subject.name) for turn in (1, 2))
        settings = {"sampling": self.sampler, "benchmark": {"temperatures": self.temperatures}}
        texts = [
            fingerprint.of_value([(q.id, q.language, q.turns[turn]) for q in self.questions]) for turn in range(TURNS)
        ]
        own = self.settings
        grader = {
            "endpoint": self.endpoint,
            "grading": own.grading,
            "grade_tokens": own.grade_tokens,
            "grader_temperature": own.grader_temperature,
        }
        questions = fingerprint.of_value([asdict(question) for question in self.shown])
        return [
            StageParts(first, settings, {"questions": texts[0]}, loads=True),
            StageParts(second, settings, {"questions": texts[1]}, {"answers": first}, loads=True),
            StageParts(
                grades_stage(subject.name), {"benchmark": grader}, {"questions": questions}, {"answers": second}
            ),
        ]

    def measure(self, subject: Subject, bench: Bench) -> None:
        """Have both turns answered, and the answers graded."""
        if subject.path is None:
            return
        sampler = ByTemperature(self.sampler, self.temperatures)
        turns: list[list[Response]] = []
        for _ in range(TURNS):
            answers, left_out = answer_turn(bench, subject, self.questions, turns, sampler)
            turns.append(answers)
            self.cut_off.setdefault(subject.name, Counter()).update(left_out)
        self.rows[subject.name] = graded(bench.store, subject.name, self.shown, turns, self.endpoint, self.settings)

    def result(self, baseline: str | None = None) -> Result:
        """Figures of every model, from 1 to 10, and how they differ."""
        found = {name: figures(rows) for name, rows in self.rows.items()}
        return Result(found, differences(self.rows, baseline), self._notes())

    def _notes(self) -> list[str]:
        referred = sum(1 for q in self.shown if q.references)
        wanted = sum(1 for q in self.shown if q.category in self.settings.reference_categories)
        notes = [
            f"Graded by {self.endpoint.model}; {referred} of the {wanted} questions in "
            f"{', '.join(self.settings.reference_categories)} with a reference answer.",
            f"Grader: {self.endpoint.spending}.",
        ]
        for language, reasons in self.skipped.items():
            listed = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
            notes.append(f"{language}: questions left out: {listed}.")
        for name, reasons in self.cut_off.items():
            notes += [f"{name}: {count} second turns not asked: {reason}." for reason, count in reasons.items()]
        return notes
