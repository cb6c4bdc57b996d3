"""The benchmark `win_rate`: models answer prompts, and a judge compares their answers with reference answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from icr import distributed
from icr.evaluation.benchmark import Bench, StageParts, Subject
from icr.evaluation.comparison import compared
from icr.evaluation.stage import JudgedResponse, answered, judged
from icr.rundir import ResponseTable, fingerprint
from icr.rundir.layout import answers_stage, evaluation_stage
from icr.rundir.measured import Figures, Result
from icr.sampling import Sampler
from icr.types import Prompt, PromptSet, Response

if TYPE_CHECKING:
    from icr.evaluation.settings import JudgedEvaluation


@dataclass(frozen=True)
class OpenEvaluation:
    """`JudgedEvaluation` with its prompts and reference answers read.

    Attributes:
        settings: of the evaluation.
        sampler: as it decodes here.
        given: the prompts that every model takes, and the count of the others.
        references: the reference answer to each prompt, by id and language.
        rows: of each model that has been measured.
    """

    settings: JudgedEvaluation
    sampler: Sampler
    given: PromptSet
    references: Mapping[tuple[str, str], str]
    rows: dict[str, list[JudgedResponse]] = field(default_factory=dict)

    @property
    def skipped(self) -> Mapping[str, Mapping[str, int]]:
        """Prompts that a model does not take."""
        return self.given.skipped

    @property
    def prompts(self) -> list[Prompt]:
        """Those that are answered."""
        return self.given.prompts

    def stages(self, subject: Subject) -> list[StageParts]:
        """Its answers, and the judge's verdicts on them."""
        answers, verdicts = answers_stage(subject.name), evaluation_stage(subject.name)
        texts = fingerprint.of_value([(p.id, p.language, p.text) for p in self.prompts])
        if subject.answers:
            theirs = [*subject.answers.answers(self.prompts).items()]
            made = StageParts(answers, content={"answers": fingerprint.of_value(theirs), "prompts": texts})
        else:
            own = {} if self.settings.seed is None else {"seed": self.settings.seed}
            made = StageParts(answers, {"sampling": self.sampler, **own}, {"prompts": texts}, loads=True)
        references = [self.references[prompt.id, prompt.language] for prompt in self.prompts]
        judge = {"judge": self.settings.judge, "language_check": self.settings.language_check}
        content = {
            "prompts": fingerprint.of_value([asdict(prompt) for prompt in self.prompts]),
            "references": fingerprint.of_value(references),
        }
        return [made, StageParts(verdicts, {"evaluation": judge}, content, {"answers": answers})]

    def measure(self, subject: Subject, bench: Bench) -> None:
        """Sample or read the answers, and have them compared."""
        self.rows[subject.name] = judged(
            bench.store,
            subject.name,
            self._answers(subject, bench),
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
        per_language = Counter(prompt.language for prompt in self.prompts)
        counts = ", ".join(f"{language} {count:,}" for language, count in per_language.items())
        left_out = [f"{n} {why} ({code})" for code, reasons in self.skipped.items() for why, n in reasons.items() if n]
        spent = self.settings.judge.spending
        return [
            f"Prompts: {counts}." + (f" Left out: {', '.join(left_out)}." if left_out else ""),
            *([f"The judge was asked, this time: {spent}."] if spent else []),
        ]

    def _answers(self, subject: Subject, bench: Bench) -> list[Response]:
        if subject.path is not None:
            seed = bench.seed if self.settings.seed is None else self.settings.seed
            return answered(
                bench.store,
                answers_stage(subject.name),
                bench.load(subject.path),
                self.prompts,
                sampler=self.sampler,
                seed=(seed, "evaluation"),
                what=f"{subject.name} · answers",
            )
        given = subject.answers.answers(self.prompts) if subject.answers else {}
        made = [Response(id, language, 0, [], [], text, "") for (id, language), text in given.items()]
        table = ResponseTable(Response, {(prompt.id, prompt.language): prompt for prompt in self.prompts})
        return bench.store.rows(answers_stage(subject.name), table, lambda: made if distributed.rank() == 0 else [])
