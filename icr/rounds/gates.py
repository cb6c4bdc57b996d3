"""Gates: which responses may take part in pairs at all. Config group `gate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, Protocol

from icr.checks import require_number
from icr.errors import ConfigError
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
    """Refuses responses that are confidently in another of the run's languages (py3langid, Naive Bayes over bytes).

    Only the run's languages are told apart: short answers are hard enough without a hundred others to mistake them for.

    Attributes:
        languages: codes of the run.
        confidence: probability of another language from which a response is refused, in (0.5, 1).

    Raises:
        ValueError: `confidence` is out of range.
        ConfigError: py3langid is not installed, or does not know a language.
    """

    languages: Sequence[str]
    confidence: float = 0.9
    reason = "in another language"
    checks: ClassVar[Literal["responses"]] = "responses"

    def __post_init__(self) -> None:
        require_number("confidence", self.confidence, above=0.5, below=1)
        _identifier(tuple(self.languages))

    def __call__(self, language: str, text: str) -> bool:
        """True unless another language is at least `confidence` likely."""
        if not text.strip():
            return True
        found, probability = _identifier(tuple(self.languages)).classify(text)
        return bool(found == language or probability < self.confidence)


@cache
def _identifier(languages: tuple[str, ...]) -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ModuleNotFoundError as error:
        raise ConfigError("gate=language needs py3langid: pip install 'icr[language]'.") from error
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    unknown = sorted(set(languages) - set(identifier.nb_classes))
    if unknown:
        raise ConfigError(f"gate=language cannot identify {', '.join(unknown)}; use gate=none with these languages.")
    identifier.set_languages(list(languages))
    return identifier
