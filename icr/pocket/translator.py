"""Word-for-word translation into English by the parallel lexicon, as faithful or as noisy as one likes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from icr.checks import require_integer, require_number
from icr.pocket.lexicon import Language, language
from icr.pocket.specs import NAMES, dice
from icr.types import Translation

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from icr.types import Prompt, Response


@dataclass(frozen=True)
class LexiconTranslator:
    """Translates each word, heading and sentence of the world; what it does not know stays as it is.

    Attributes:
        noise: probability of a translated phrase to become another English phrase of the world.
        seed: of the noise, which depends on this and on the response alone.

    Raises:
        ValueError: `noise` is not a probability, or `seed` no integer.
    """

    samples: ClassVar[bool] = False

    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_number("noise", self.noise, least=0, most=1)
        require_integer("seed", self.seed)

    def __call__(
        self, responses: Sequence[Response], prompts: Mapping[tuple[str, str], Prompt], policy: object = None
    ) -> list[Translation]:
        """English of each response; neither `prompts` nor `policy` is needed."""
        return [Translation(text) for text in self.texts(responses)]

    def texts(self, responses: Sequence[Response]) -> list[str]:
        """English text of each response."""
        return [self._translate(response) for response in responses]

    def _translate(self, response: Response) -> str:
        rng = dice("translation", self.seed, response.id, response.language, response.k, response.text)
        spoken = language(response.language)
        return "\n".join(self._translate_line(line, spoken, rng) for line in response.text.split("\n"))

    def _translate_line(self, line: str, spoken: Language, rng: random.Random) -> str:
        sentences = _sentences(spoken.code)
        if line in sentences:
            return self._disturb(sentences[line], rng)
        words = _words(spoken.code)
        items = line.split(spoken.separator)
        return language("en").separator.join(
            self._disturb(words[item], rng) if item in words else item for item in items
        )

    def _disturb(self, english: str, rng: random.Random) -> str:
        if rng.random() >= self.noise:
            return english
        return rng.choice([word for word in _words("en") if word != english])


@cache
def _words(code: str) -> dict[str, str]:
    """English of each word of a language."""
    return {
        word: translation
        for key, topic in language(code).topics.items()
        for word, translation in zip(topic.words, language("en").topics[key].words, strict=True)
    }


@cache
def _sentences(code: str) -> dict[str, str]:
    """English of each line of an answer that is not a list: headings, filler, closings."""
    spoken, english = language(code), language("en")
    headings = {topic.heading: english.topics[key].heading for key, topic in spoken.topics.items()}
    closings = {spoken.closing.format(name=name): english.closing.format(name=name) for name in NAMES}
    return headings | closings | {spoken.filler: english.filler}
