"""What a judge is. Config group `judge`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias, TypeGuard

from icr.judges.spending import Spending
from icr.types import Prompt


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to be scored by itself: its `text` under `prompt`."""

    prompt: Prompt
    text: str


@dataclass(frozen=True, slots=True)
class Score:
    """The score of an answer, or why there is none (refused, not to be parsed, out of budget).

    Attributes:
        value: higher is better, in the unit of the judge; None where there is none.
        reason: why there is none; `""` where there is one.

    Raises:
        ValueError: the value is not finite, or it is missing without a reason.
    """

    value: float | None
    reason: str = ""

    def __post_init__(self) -> None:
        _require_reason("value", self.value, self.reason)
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"value must be finite, got {self.value!r}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to be compared: the texts `answer` and `reference`, both under `prompt`."""

    prompt: Prompt
    answer: str
    reference: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a comparison, or why there is none.

    Attributes:
        preference: `q` in [0, 1], the judge's probability that the answer beats the reference: 1 where the answer wins,
            0.5 for a tie; None where there is no verdict.
        reason: why there is none; `""` where there is one.
        score, reference_score: of the two answers, by a judge that scores them; else None.
        shown_first, shown_second: `q` with the answer shown first, and second; None where the judge knows no order, was
            not asked in this one, or gave no verdict in it. The preference is the mean of those that were asked for.

    Raises:
        ValueError: a preference is outside [0, 1], or it is missing without a reason.
    """

    preference: float | None
    reason: str = ""
    score: float | None = None
    reference_score: float | None = None
    shown_first: float | None = None
    shown_second: float | None = None

    def __post_init__(self) -> None:
        _require_reason("preference", self.preference, self.reason)
        for name in ("preference", "shown_first", "shown_second"):
            q: float | None = getattr(self, name)
            if q is not None and not 0 <= q <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {q!r}")


class AnyJudge(Protocol):
    """What every judge can be asked for. A class that inherits from a protocol of judges costs and requires nothing.

    Attributes:
        scores: whether it is a `PointwiseJudge`.
        compares: whether it is a `PairwiseJudge`.
    """

    scores: ClassVar[bool]
    compares: ClassVar[bool]

    def require(self) -> None:
        """Refuse what is sure to fail (a key or a package that is missing), before a model is loaded.

        Raises:
            ConfigError: something is missing.
        """
        return None

    @property
    def spending(self) -> Spending | None:
        """What it has asked for so far, and what that cost; None where asking is free."""
        return None


class PointwiseJudge(AnyJudge, Protocol):
    """Scores one answer at a time.

    Attributes:
        scores: True.
        compares: whether it is a `PairwiseJudge` too.
    """

    scores: ClassVar[bool] = True
    compares: ClassVar[bool] = False

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """One score per answer, in order. All that there is to score comes in one call, so that it can be batched."""


class PairwiseJudge(AnyJudge, Protocol):
    """Compares two answers to one prompt.

    Attributes:
        scores: whether it is a `PointwiseJudge` too.
        compares: True.
    """

    scores: ClassVar[bool] = False
    compares: ClassVar[bool] = True

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict per comparison, in order. All that there is to compare comes in one call."""


Judge: TypeAlias = PointwiseJudge | PairwiseJudge
"""A judge says by its two flags which of them it is; one that is both scores and compares."""


def is_pointwise(judge: Judge) -> TypeGuard[PointwiseJudge]:
    """Whether the judge scores answers one by one, as rewards and reward accuracy need it."""
    return judge.scores


def is_pairwise(judge: Judge) -> TypeGuard[PairwiseJudge]:
    """Whether the judge compares answers itself; see `icr.judges.pairwise` for one that does not."""
    return judge.compares


def _require_reason(name: str, value: float | None, reason: str) -> None:
    if (value is None) != bool(reason):
        raise ValueError(f"{name} must be given, or a reason why there is none, got {value!r} and {reason!r}")
