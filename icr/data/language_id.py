"""In which of a run's languages a text is written."""

from __future__ import annotations

from functools import cache
from typing import Protocol

from icr.errors import ConfigError


class LanguageIdentifier(Protocol):
    """Tells the languages that it was made for apart, and no others."""

    def classify(self, text: str) -> tuple[str, float]:
        """Code of the likeliest language of a text that is not blank, and its probability among these languages."""


@cache
def identifier(languages: tuple[str, ...]) -> LanguageIdentifier:
    """The identifier of these languages (py3langid, Naive Bayes over bytes).

    Only these languages are told apart: short answers are hard enough without a hundred others to mistake them for.

    Args:
        languages: codes; one object per set of them.

    Raises:
        ConfigError: py3langid is not installed, or does not know a language.
    """
    try:
        from py3langid.langid import MODEL_FILE
        from py3langid.langid import LanguageIdentifier as Langid
    except ModuleNotFoundError as error:
        raise ConfigError("Identifying languages needs py3langid: pip install 'icr[language]'.") from error
    made = Langid.from_model_file(MODEL_FILE, norm_probs=True)
    unknown = sorted(set(languages) - set(made.nb_classes))
    if unknown:
        raise ConfigError(
            f"py3langid cannot identify {', '.join(unknown)}; give gate=none, and evaluation.language_check=null, "
            f"with these languages."
        )
    made.set_languages(list(languages))
    found: LanguageIdentifier = made
    return found
