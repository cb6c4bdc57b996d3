"""The benchmark `win_rate`: models answer prompts, and a judge compares their answers with reference answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from icr.evaluation.answering import PromptAnswers
from icr.evaluation.benchmark import Bench, StageParts, Subject
from icr.evaluation.comparison import compared
from icr.evaluation.stage import JudgedResponse, judged
from icr.rundir import fingerprint
from icr.rundir.layout import evaluation_stage
from icr.rundir.measured import Figures, Result
from icr.types import Prompt

if TYPE_CHECKING:
    from icr.evaluation.settings import JudgedEvaluation


@dataclass(frozen=True)
class OpenEvaluation:
    """`JudgedEvaluation` with its prompts and reference answers read.

    Attributes:
        settings: of the evaluation.
        answering: its prompts, and how they are answered.
        references: the reference answer to each prompt, by id and language.
        rows: of each model that has been measured.
    """

    settings: JudgedEvaluation
    answering: PromptAnswers
    references: Mapping[tuple[str, str], str]
    rows: dict[str, list[JudgedResponse]] = field(default_factory=dict)

    @property
    def skipped(self) -> Mapping[str, Mapping[str, int]]:
        """Prompts that a model does not take."""
        return self.answering.given.skipped

    @property
    def prompts(self) -> list[Prompt]:
        """Those that are answered."""
        return self.answering.prompts

    def stages(self, subject: Subject) -> list[StageParts]:
        """Its answers, and the judge's verdicts on them."""
        made, verdicts = self.answering.stage(subject), evaluation_stage(subject.name)
        references = [self.references[prompt.id, prompt.language] for prompt in self.prompts]
        judge = {"judge": self.settings.judge, "language_check": self.settings.language_check}
        content = {
            "prompts": fingerprint.of_value([asdict(prompt) for prompt in self.prompts]),
            "references": fingerprint.of_value(references),
        }
        return [made, StageParts(verdicts, {"evaluation": judge}, content, {"answers": made.name})]

    def measure(self, subject: Subject, bench: Bench) -> None:
        """Sample or read the answers, and have them compared."""
        self.rows[subject.name] = judged(
            bench.store,
            subject.name,
            self.answering.of(subject, bench),
            self.prompts,
            judge=self.settings.pairwise,
            references=self.references,
            language_check=self.settings.language_check,
        )

    def result(self, baseline: str | None = None) -> Result:
        """Figures of every model that has been measured, and how they differ."""
        found = compared(self.rows, difficulty=self.settings.difficulty, baseline=baseline)
        return replace(found, notes=[*found.notes, *self._notes()])

    def figures(self, name: str) -> Figures:
        """Figures of one model that has been measured, by itself."""
        return compared({name: self.rows[name]}, difficulty=self.settings.difficulty).figures[name]

    def _notes(self) -> list[str]:
        """How many prompts, and what the judge was asked."""
        spent = self.settings.judge.spending
        return [self.answering.note(), *([f"The judge was asked, this time: {spent}."] if spent else [])]
