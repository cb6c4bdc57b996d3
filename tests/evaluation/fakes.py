"""A sampler, judges and reference answers made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from icr.judges import Answer, Comparison, PairwiseJudge, PointwiseJudge, Score, Verdict
from icr.types import Prompt, Response

PROMPTS = [Prompt(id, language, f"{id}?", f"{id}?") for language in ("en", "sw") for id in ("p", "q")]


@dataclass(frozen=True)
class Sampler:
    """Answers with the prompt's id and the number of the sample; keeps what happened to it."""

    n: int = 1
    temperature: float = 1.0
    prompts_per_part: int = 100
    log: list[str] = field(default_factory=list)

    def sample(self, policy, prompts: Sequence[Prompt], seed: tuple, on_batch) -> list[Response]:
        """`n` per prompt."""
        self.log.append(f"{policy} {seed}")
        if not prompts:
            raise RuntimeError("nothing to do")
        return [
            Response(p.id, p.language, k, [1], [5, 6, 2], f"{p.id}{k}", "stop") for p in prompts for k in range(self.n)
        ]

    def release(self) -> None:
        """Keep that it was."""
        self.log.append("released")


@dataclass
class Comparing(PairwiseJudge):
    """Verdicts by text of the answer, else a refusal; keeps what it was asked."""

    verdicts: dict[str, Verdict]
    asked: list[list[Comparison]] = field(default_factory=list)

    scores: ClassVar[bool] = False
    compares: ClassVar[bool] = True

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """By the table."""
        self.asked.append(list(comparisons))
        return [self.verdicts.get(one.answer, Verdict(None, "refused")) for one in comparisons]


@dataclass
class Scoring(PointwiseJudge):
    """Scores by text of the answer, else a refusal; keeps what it was asked."""

    values: dict[str, float]
    asked: list[list[str]] = field(default_factory=list)

    scores: ClassVar[bool] = True
    compares: ClassVar[bool] = False

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """By the table."""
        self.asked.append([answer.text for answer in answers])
        values = [self.values.get(answer.text) for answer in answers]
        return [Score(None, "refused") if value is None else Score(value) for value in values]


@dataclass(frozen=True)
class References:
    """`reference` for every prompt of these languages."""

    languages: Sequence[str] = ("en", "sw")

    def answers(self, prompts: Sequence[Prompt]) -> dict[tuple[str, str], str]:
        """By id and language."""
        return {(p.id, p.language): "reference" for p in prompts if p.language in self.languages}
