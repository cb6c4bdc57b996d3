"""A judge that anyone can foresee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from icr.judges import Comparison, Spending, Verdict


@dataclass(frozen=True)
class Longer:
    """The longer answer wins, in both orders."""

    scores: ClassVar[bool] = False
    compares: ClassVar[bool] = True

    @property
    def spending(self) -> Spending | None:
        """Nothing."""
        return None

    def require(self) -> None:
        """Nothing is needed."""

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """By length."""
        wins = [float(len(c.answer) > len(c.reference)) for c in comparisons]
        return [Verdict(q, shown_first=q, shown_second=q) for q in wins]
