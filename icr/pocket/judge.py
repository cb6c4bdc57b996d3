"""A judge that cannot be argued with: it knows what a good answer is, in every language."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from icr.pocket.answers import Marks, Reading, compose, read
from icr.pocket.lexicon import language
from icr.pocket.specs import Spec, dice

if TYPE_CHECKING:
    from icr.types import Prompt


class PocketJudge:
    """Scores an answer `valid · mean(marks) − malformed`, and answers itself as the opponent of the win rate.

    `valid` is the share of words that belong (right language, right topic), and the marks are those of `answers.Marks`.

    Args:
        malformed: taken off where the text is not a well-formed answer.
        opponent_skill: probability of each mark of the opponent's answer to be good, which is also its expected score.
    """

    def __init__(self, malformed: float = 0.1, opponent_skill: float = 0.6) -> None:
        self.malformed = malformed
        self.opponent_skill = opponent_skill

    def score(self, prompt: Prompt, response: str) -> float:
        """Quality of `response`, between −0.1 and 1."""
        reading = _read(prompt, response)
        return reading.valid * reading.marks.mean - self.malformed * (not reading.well_formed)

    def marks(self, prompt: Prompt, response: str) -> dict[str, float]:
        """What the score is made of, by name: the five marks and `well_formed` as 0 or 1, and `valid`, a share."""
        reading = _read(prompt, response)
        parts = asdict(reading.marks) | {"valid": reading.valid, "well_formed": reading.well_formed}
        return {name: float(value) for name, value in parts.items()}

    def opponent(self, prompt: Prompt) -> str:
        """The fixed answer that responses are compared with: one for each id and language, each mark good by chance."""
        rng = dice("opponent", prompt.id, prompt.language)
        marks = Marks(*(rng.random() < self.opponent_skill for _ in fields(Marks)))
        return compose(Spec.from_id(prompt.id), language(prompt.language), marks, rng)


def _read(prompt: Prompt, response: str) -> Reading:
    return read(response, Spec.from_id(prompt.id), language(prompt.language))
