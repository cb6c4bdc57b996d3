"""The instructions as text, in every language: the world's prompt source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from icr.errors import ConfigError
from icr.pocket.lexicon import Language, language
from icr.pocket.specs import Spec, specs
from icr.types import Prompt, PromptSet

if TYPE_CHECKING:
    from collections.abc import Sequence


def instruction(spec: Spec, language: Language) -> str:
    """The instruction `spec` in `language`."""
    template = language.prompts[spec.phrasing][spec.titled]
    return template.format(number=language.numbers[spec.number], topic=language.topics[spec.topic].noun, name=spec.name)


@dataclass(frozen=True)
class PocketPrompts:
    """Parallel prompts of the world. Subsets are nested: fewer prompts are the first of more.

    Attributes:
        prompts_per_language: how many prompts of the split each language gets; `None` for all of them.
    """

    provides: ClassVar[Literal["prompts"]] = "prompts"

    prompts_per_language: int | None = 80

    def prompts(self, languages: Sequence[str], split: str) -> PromptSet:
        """The split's prompts, language by language, the same ids in the same order in each.

        Raises:
            ConfigError: a language or the split is unknown, or the split has fewer prompts than were asked for.
        """
        chosen = self._subset(specs(split), split)
        english = language("en")
        return PromptSet(
            [
                Prompt(spec.id, code, instruction(spec, spoken), instruction(spec, english))
                for code, spoken in ((code, language(code)) for code in languages)
                for spec in chosen
            ]
        )

    def _subset(self, available: list[Spec], split: str) -> list[Spec]:
        wanted = self.prompts_per_language
        owner = "evaluation.prompts" if split in ("dev", "test") else "data"
        if wanted is not None and not 0 < wanted <= len(available):
            raise ConfigError(
                f"{owner}.prompts_per_language is {wanted}, but the split {split!r} of the pocket world has "
                f"{len(available)} prompts per language. Set it between 1 and {len(available)}, or to null for all."
            )
        return available[:wanted]
