"""Gates: which responses may take part in pairs at all. Config group `gate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from icr.checks import require_number
from icr.data.language_id import identifier
from icr.rounds.agreement import AgreementGate


class ResponseGate(Protocol):
    """A check of one response by itself, made before length control and pairing.

    Attributes:
        reason: under which refused responses are counted.
    """

    checks: ClassVar[Literal["responses"]]
    reason: str

    def __call__(self, language: str, text: str) -> bool:
        """Whether the response may stay."""


Gate = ResponseGate | AgreementGate
"""Config group `gate`; `checks` tells which of them it is."""


@dataclass(frozen=True)
class LanguageGate:
    """Refuses responses that are confidently in another of the run's languages (`icr.data.language_id`).

    Attributes:
        languages: codes of the run.
        confidence: probability of another language from which a response is refused, in (0.5, 1).

    Raises:
        ValueError: `confidence` is out of range.
        ConfigError: languages cannot be identified, or one of these cannot.
    """

    languages: Sequence[str]
    confidence: float = 0.9
    reason = "in another language"
    checks: ClassVar[Literal["responses"]] = "responses"

    def __post_init__(self) -> None:
        require_number("confidence", self.confidence, above=0.5, below=1)
        identifier(tuple(self.languages))

    def __call__(self, language: str, text: str) -> bool:
        """True unless another language is at least `confidence` likely."""
        if not text.strip():
            return True
        found, probability = identifier(tuple(self.languages)).classify(text)
        return bool(found == language or probability < self.confidence)
