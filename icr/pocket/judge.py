"""A judge that cannot be argued with: it knows what a good answer is, in every language."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from icr.checks import require_number
from icr.judges.compared import ScoresCompared
from icr.judges.protocols import Answer, Comparison, PairwiseJudge, PointwiseJudge, Score, Verdict
from icr.pocket.answers import Marks, Reading, compose, read
from icr.pocket.lexicon import language
from icr.pocket.specs import Spec, dice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from icr.types import Prompt


@dataclass(frozen=True)
class PocketJudge(PointwiseJudge, PairwiseJudge):
    """Scores an answer `valid · mean(marks) − malformed`, between −0.1 and 1, and compares two by their scores.

    `valid` is the share of words that belong (right language, right topic), and the marks are those of `answers.Marks`.

    Attributes:
        malformed: taken off where the text is not a well-formed answer.

    Raises:
        ValueError: `malformed` is not between 0 and 1.
    """

    malformed: float = 0.1

    scores: ClassVar[bool] = True
    compares: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_number("malformed", self.malformed, least=0, most=1)

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """Quality of each answer."""
        readings = [_read(answer.prompt, answer.text) for answer in answers]
        return [Score(r.valid * r.marks.mean - self.malformed * (not r.well_formed)) for r in readings]

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """The better score wins."""
        return self._compared.compare(comparisons)

    def marks(self, prompt: Prompt, response: str) -> dict[str, float]:
        """What the score is made of, by name: the five marks and `well_formed` as 0 or 1, and `valid`, a share."""
        reading = _read(prompt, response)
        parts = asdict(reading.marks) | {"valid": reading.valid, "well_formed": reading.well_formed}
        return {name: float(value) for name, value in parts.items()}

    @cached_property
    def _compared(self) -> ScoresCompared:
        return ScoresCompared(self)


@dataclass(frozen=True)
class PocketReferences:
    """Reference answers of middling quality: one for each id and language, each of its marks good by chance.

    Attributes:
        skill: probability of each mark to be good, which is also the expected score.

    Raises:
        ValueError: `skill` is not a probability.
    """

    skill: float = 0.6

    def __post_init__(self) -> None:
        require_number("skill", self.skill, least=0, most=1)

    def answers(self, prompts: Sequence[Prompt]) -> dict[tuple[str, str], str]:
        """The reference answer to each prompt, by id and language."""
        return {(prompt.id, prompt.language): self._answer(prompt) for prompt in prompts}

    def _answer(self, prompt: Prompt) -> str:
        rng = dice("opponent", prompt.id, prompt.language)
        marks = Marks(*(rng.random() < self.skill for _ in fields(Marks)))
        return compose(Spec.from_id(prompt.id), language(prompt.language), marks, rng)


def _read(prompt: Prompt, response: str) -> Reading:
    return read(response, Spec.from_id(prompt.id), language(prompt.language))
