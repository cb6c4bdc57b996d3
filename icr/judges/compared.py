"""Comparisons by a judge that scores answers one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import ClassVar

from icr.errors import ConfigError
from icr.judges.protocols import (
    Answer,
    Comparison,
    Judge,
    PairwiseJudge,
    PointwiseJudge,
    Score,
    Verdict,
    is_pairwise,
    is_pointwise,
)
from icr.judges.spending import Spending

TIE = 1e-9
"""Scores that are sums of fifths differ in their last bits; scores that differ by no more than this are equal."""


@dataclass(frozen=True)
class ScoresCompared:
    """The better score wins: `q = 1` where `s − s_ref > TIE`, 0.5 where `|s − s_ref| ≤ TIE`, else 0.

    A text is scored once under a prompt, however often and on whichever side it comes: twice in one call, or as the
    reference of one model after another. Where one of the two scores is missing there is no verdict.

    Attributes:
        judge: scores the answers.
        known: scores so far.
    """

    judge: PointwiseJudge
    known: dict[Answer, Score] = field(default_factory=dict, compare=False, repr=False)

    scores: ClassVar[bool] = False
    compares: ClassVar[bool] = True

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict per comparison, with both scores."""
        sides = [(Answer(c.prompt, c.answer), Answer(c.prompt, c.reference)) for c in comparisons]
        new = [answer for answer in dict.fromkeys(chain.from_iterable(sides)) if answer not in self.known]
        self.known.update(zip(new, self.judge.score(new), strict=True))
        return [_verdict(self.known[answer], self.known[reference]) for answer, reference in sides]

    def require(self) -> None:
        """Refuse what the judge that scores refuses."""
        self.judge.require()

    @property
    def spending(self) -> Spending | None:
        """Of the judge that scores."""
        return self.judge.spending


def pairwise(judge: Judge) -> PairwiseJudge:
    """The judge itself where it compares answers, else one that compares its scores.

    Raises:
        ConfigError: its flags say that it does neither.
    """
    if is_pairwise(judge):
        return judge
    if is_pointwise(judge):
        return ScoresCompared(judge)
    raise ConfigError(f"judge: {type(judge).__name__} neither scores nor compares: one of the two flags must be true.")


def _verdict(answer: Score, reference: Score) -> Verdict:
    if answer.value is None or reference.value is None:
        which, missing = ("answer", answer) if answer.value is None else ("reference", reference)
        return Verdict(None, f"no score of the {which}: {missing.reason}", answer.value, reference.value)
    difference = answer.value - reference.value
    preference = 0.5 if abs(difference) <= TIE else float(difference > 0)
    return Verdict(preference, score=answer.value, reference_score=reference.value)
