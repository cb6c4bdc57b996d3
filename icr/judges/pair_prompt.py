"""What a model reads that compares two answers, and how its verdict is understood."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from string import Formatter

from icr.judges.questions import Message
from icr.types import Prompt

NEEDED, ALLOWED = ("prompt", "first", "second"), ("prompt", "first", "second", "boundary")
AROUND = " \t\r\n\"'`*.,:;()[]"
"""What may stand around the word of a verdict."""


@dataclass(frozen=True)
class PairPrompt:
    """A system message, a user message with two answers in it, and the words for either. Config group `judge/prompt`.

    Raises:
        ValueError: a placeholder is missing or unknown, or a word stands for two things or none.
    """

    system: str
    """Without placeholders; empty where there is no such message."""
    user: str
    """Has `{prompt}`, `{first}` and `{second}`, and may have `{boundary}`: digits that none of the three can hold."""
    first: Sequence[str]
    """Words for the answer that is shown first."""
    second: Sequence[str]
    """Words for the other one."""
    tie: Sequence[str] = ()
    """Words for neither."""

    def __post_init__(self) -> None:
        try:
            found = [name for _, name, _, _ in Formatter().parse(self.user) if name is not None]
        except ValueError as error:
            raise ValueError(f"user is no template ({error}): write {{{{ and }}}} for braces of its own") from error
        if missing := [name for name in NEEDED if name not in found]:
            raise ValueError(f"user must contain {{{missing[0]}}}")
        if unknown := [name for name in found if name not in ALLOWED]:
            known = ", ".join(f"{{{name}}}" for name in ALLOWED)
            raise ValueError(f"user has the placeholder {{{unknown[0]}}}, which is none of {known}")
        words = [*self.first, *self.second, *self.tie]
        if not self.first or not self.second or len(set(words)) < len(words):
            raise ValueError("first and second must each have a word, and no word may come twice")
        if bad := [word for word in words if word != word.strip(AROUND) or not word]:
            raise ValueError(f"words of a verdict must not begin or end with spaces or punctuation, as {bad[0]!r} does")

    def messages(self, prompt: Prompt, first: str, second: str) -> tuple[Message, ...]:
        """The conversation about two answers to `prompt`, in the order in which they are shown."""
        digits = sha256("\x1f".join([prompt.text, first, second]).encode(errors="replace")).hexdigest()[:12]
        user = self.user.format(prompt=prompt.text, first=first, second=second, boundary=digits)
        asked = Message("user", user)
        return (Message("system", self.system), asked) if self.system.strip() else (asked,)

    def weighted(self, logprobs: Mapping[str, float], minimum: float) -> float | None:
        """`q_first = (Σ p(first) + ½ Σ p(tie)) / Σ p(first, second, tie)`, over the tokens that are such a word.

        Without words for a tie it is the weighting of AlpacaEval 2 (Dubois et al. 2024, `logprob_parser`), whose
        preference is `1 + P(second of two)`. A token counts whatever space and punctuation there is around the word.

        Args:
            logprobs: of the likeliest first tokens of the verdict, in nats.
            minimum: probability that these tokens must have together.

        Returns:
            The probability of the answer that is shown first; None where they have less than `minimum`, or none.
        """
        terms = [(q, math.exp(logprob)) for token, logprob in logprobs.items() if (q := self.said(token)) is not None]
        total = math.fsum(p for _, p in terms)
        if not total or total < minimum:
            return None
        return min(1.0, math.fsum(q * p for q, p in terms) / total)

    def said(self, text: str) -> float | None:
        """1 where the text is a word for the answer that is shown first, 0 for the other one, 0.5 for neither.

        None where it is anything else.
        """
        word = text.strip(AROUND)
        for words, q in ((self.first, 1.0), (self.second, 0.0), (self.tie, 0.5)):
            if word in words:
                return q
        return None
