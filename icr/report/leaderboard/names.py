"""Figures by the names that people know them by. One that is not listed here is shown under its own name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from icr.metrics import AnswerFigure, Figure, PreferenceFigure


@dataclass(frozen=True)
class FigureName:
    """How a figure is shown.

    Attributes:
        title: with its unit, where that does not go without saying.
        digits: decimals; None for as many as its size asks for.
        about: one sentence on what it is; `""` where nothing is known.
        best: whether the highest is the best, and is marked.
        counted: whether it is a count, whose sum over the languages is shown where others have their mean.
    """

    title: str
    digits: int | None = None
    about: str = ""
    best: bool = False
    counted: bool = False

    def decimals(self, values: Iterable[float]) -> int:
        """For all of a table, unless they are given: none for whole numbers, three for shares, else two or one."""
        if self.digits is not None:
            return self.digits
        known = [abs(value) for value in values if math.isfinite(value)]
        if all(value.is_integer() for value in known):
            return 0
        return 1 if max(known) >= 10 else 2 if max(known) > 1 else 3


SHORT: dict[Figure | AnswerFigure | PreferenceFigure, FigureName] = {
    Figure.WIN_RATE: FigureName("Win rate, %", 1, best=True),
    Figure.LC_WIN_RATE: FigureName("Length-controlled win rate, %", 1, best=True),
    Figure.JUDGE_SCORE: FigureName("Judge score", 2, best=True),
    Figure.UNJUDGED: FigureName("Without verdict", 0, counted=True),
    Figure.FLIP_RATE: FigureName("Flips, %", 1),
    Figure.ORDER_KAPPA: FigureName("κ of orders", 2),
    Figure.CHARACTERS: FigureName("Characters", 0),
    Figure.REFERENCE_CHARACTERS: FigureName("Reference characters", 0),
    Figure.TOKENS: FigureName("Tokens", 0),
    Figure.EMPTY_RATE: FigureName("Empty, %", 1),
    Figure.TRUNCATION_RATE: FigureName("Cut, %", 1),
    Figure.REPETITION_RATE: FigureName("Repeating, %", 1),
    Figure.OFF_LANGUAGE_RATE: FigureName("Off-language, %", 1),
    AnswerFigure.DISTINCT_RATE: FigureName("Distinct, %", 1),
    PreferenceFigure.ACCURACY: FigureName("Preference accuracy, %", 1, best=True),
    PreferenceFigure.ACCURACY_GIVEN: FigureName("Preference accuracy as given, %", 1, best=True),
    PreferenceFigure.TIES: FigureName("Ties, %", 1),
    PreferenceFigure.MARGIN: FigureName("Margin, nats per token", 4),
    PreferenceFigure.LIKELIER: FigureName("Chosen likelier, %", 1),
    PreferenceFigure.LIKELIER_GIVEN: FigureName("Chosen likelier as given, %", 1),
    PreferenceFigure.BASE_LIKELIER: FigureName("Chosen likelier under the base, %", 1),
    PreferenceFigure.BASE_LESS_LIKELY: FigureName("Chosen less likely under the base, %", 1),
    PreferenceFigure.CHOSEN_LOGP: FigureName("log π of chosen, nats per token", 3),
    PreferenceFigure.REJECTED_LOGP: FigureName("log π of rejected, nats per token", 3),
    PreferenceFigure.PROMPTS: FigureName("Labelled prompts", 0, counted=True),
    PreferenceFigure.ROWS: FigureName("Labelled rows", 0, counted=True),
}
"""What has a heading shorter than its name; `icr.metrics` says what they are."""
FIGURES = {
    figure.value: replace(short, about=f"{figure.about[0].upper()}{figure.about[1:]}.")
    for figure, short in SHORT.items()
}


def named(figure: str) -> FigureName:
    """How a figure is shown, listed or not."""
    return FIGURES.get(figure, FigureName(figure))
