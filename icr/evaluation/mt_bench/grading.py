"""Single-answer grading: what a grader reads of one answer, and which number from 1 to 10 it gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from string import Formatter

from icr.judges import Message

LEAST, MOST = 1.0, 10.0
NO_SCORE = "no score"
SCORE = re.compile(r"score\W{0,6}(\d+(?:[.,]\d+)?)(?!\d)|\[\[(\d+(?:\.\d+)?)\]\]", re.IGNORECASE)
"""`Score: 7`, with whatever stands around the number, or `[[7]]`, which models trained as graders write."""


@dataclass(frozen=True)
class GradingPrompt:
    """A system message and what a grader reads of a conversation. Config group `benchmark/grading`.

    Placeholders: `{conversation}`, the turns up to the answer that is graded; `{reference}`, where there is one; and
    `{boundary}`, digits that the conversation cannot hold, by which the grader knows what is not meant for it.

    Raises:
        ValueError: a placeholder is missing or unknown.
    """

    system: str
    """Without placeholders; empty where there is no such message."""
    answer: str
    """The user's message without a reference answer."""
    answer_with_reference: str
    """The same with one."""
    user: str = "User"
    """What the user is called in the conversation."""
    assistant: str = "Assistant"
    """What the model is."""

    def __post_init__(self) -> None:
        _check("answer", self.answer, {"conversation"})
        _check("answer_with_reference", self.answer_with_reference, {"conversation", "reference"})

    def messages(self, turns: Sequence[str], references: Sequence[str]) -> tuple[Message, ...]:
        """What is asked about the last of the turns, which are the user's and the model's by turns.

        Args:
            references: good answers to as many turns; empty where there are none.
        """
        digits = sha256("\x1f".join([*turns, *references]).encode(errors="replace")).hexdigest()[:12]
        text = self.answer_with_reference if references else self.answer
        asked = text.format(
            conversation=self._shown(turns, digits),
            reference=self._shown([t for pair in zip(turns[::2], references, strict=True) for t in pair], digits)
            if references
            else "",
            boundary=digits,
        )
        message = Message("user", asked)
        return (Message("system", self.system), message) if self.system.strip() else (message,)

    def _shown(self, turns: Sequence[str], digits: str) -> str:
        names = (self.user, self.assistant)
        return "\n\n".join(f"[{names[n % 2]} {n // 2 + 1} {digits}]\n{turn}" for n, turn in enumerate(turns))


def score(text: str) -> float | None:
    """The last number that a reply calls a score; None where there is none, or it is outside 1 to 10."""
    found = [one or other for one, other in SCORE.findall(text)]
    value = float(found[-1].replace(",", ".")) if found else 0.0
    return value if LEAST <= value <= MOST else None


def _check(name: str, text: str, needed: set[str]) -> None:
    try:
        found = {field for _, field, _, _ in Formatter().parse(text) if field is not None}
    except ValueError as error:
        raise ValueError(f"{name} is no template ({error}): write {{{{ and }}}} for braces of its own") from error
    if missing := sorted(needed - found):
        raise ValueError(f"{name} must contain {{{missing[0]}}}")
    if unknown := sorted(found - needed - {"boundary"}):
        raise ValueError(f"{name} has the placeholder {{{unknown[0]}}}, which there is not")
