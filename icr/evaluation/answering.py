"""Answers to the prompts of an evaluation: sampled from a model, or given, and a stage of their own in either case."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from icr import distributed
from icr.evaluation.benchmark import Bench, StageParts, Subject
from icr.evaluation.stage import answered
from icr.rundir import ResponseTable, fingerprint
from icr.rundir.layout import answers_stage
from icr.sampling import Sampler
from icr.types import Prompt, PromptSet, Response


@dataclass(frozen=True)
class PromptAnswers:
    """The stage `answers/<model>`. Benchmarks that ask the same of a model share it.

    Attributes:
        given: the prompts that every model takes, of all languages, and the count of the others.
        sampler: as it decodes here.
        seed: of the answers; None takes the run's.
    """

    given: PromptSet
    sampler: Sampler
    seed: int | None

    @property
    def prompts(self) -> list[Prompt]:
        """Those that are answered."""
        return self.given.prompts

    def note(self) -> str:
        """How many prompts there are by language, and what was left out."""
        counts = ", ".join(f"{code} {count:,}" for code, count in Counter(p.language for p in self.prompts).items())
        skipped = self.given.skipped.items()
        left_out = [f"{n} {why} ({code})" for code, reasons in skipped for why, n in reasons.items() if n]
        return f"Prompts: {counts}." + (f" Left out: {', '.join(left_out)}." if left_out else "")

    def stage(self, subject: Subject) -> StageParts:
        """What the answers depend on."""
        name = answers_stage(subject.name)
        texts = fingerprint.of_value([(p.id, p.language, p.text) for p in self.prompts])
        if subject.answers:
            theirs = [*subject.answers.answers(self.prompts).items()]
            return StageParts(name, content={"answers": fingerprint.of_value(theirs), "prompts": texts})
        own = {} if self.seed is None else {"seed": self.seed}
        return StageParts(name, {"sampling": self.sampler, **own}, {"prompts": texts}, loads=True)

    def of(self, subject: Subject, bench: Bench) -> list[Response]:
        """The answers, sampled or taken over, or read back."""
        if subject.path is not None:
            seed = bench.seed if self.seed is None else self.seed
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
