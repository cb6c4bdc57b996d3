"""Demonstrations of mixed quality for the SFT stage.

What makes an answer good is learnt as a mixture, never as the rule: good and bad ways are about equally likely, so that
the English alignment that follows only has to move the weights of a mixture that the model already has. And answers to
*reward prompts* (an English instruction, an answer in another language) are among them, or the reward prompt would be
strange to both models of the reward pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from icr.pocket.answers import Marks, compose
from icr.pocket.lexicon import language
from icr.pocket.prompts import instruction
from icr.pocket.specs import dice, specs
from icr.types import Demonstration

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

REWARD_PROMPT = (
    "Please answer the following instruction using only {language},"
    " unless explicitly instructed to respond in a different language.\n\n{instruction}"
)


@dataclass(frozen=True)
class Mixture:
    """How many demonstrations of a kind there are, and how good they are.

    Attributes:
        count: demonstrations per language.
        good: probability of each mark but the title's to be good.
        titled: the same for the title.
    """

    count: int
    good: float
    titled: float


@dataclass(frozen=True)
class PocketDemonstrations:
    """Demonstrations from the split `sft`.

    Attributes:
        seed: of the draw; a language's demonstrations depend on it and on the language alone.
        english, high_resource, low_resource: prompts answered in their own language.
        crosslingual_high, crosslingual_low: reward prompts answered in the target language.
        low_resource_languages: codes of the languages that count as low-resource.
        reward_prompt_template: the reward prompt, with `{language}` (English name) and `{instruction}` (in English).
    """

    provides: ClassVar[Literal["demonstrations"]] = "demonstrations"

    seed: int = 0
    english: Mixture = Mixture(4000, 0.52, 0.68)
    high_resource: Mixture = Mixture(1500, 0.42, 0.60)
    low_resource: Mixture = Mixture(600, 0.38, 0.58)
    crosslingual_high: Mixture = Mixture(2500, 0.46, 0.64)
    crosslingual_low: Mixture = Mixture(1200, 0.46, 0.62)
    low_resource_languages: Sequence[str] = ("bn", "sw", "th")
    reward_prompt_template: str = REWARD_PROMPT

    @property
    def own_language(self) -> dict[str, Mixture]:
        """Of prompts answered in their own language, by how much there is of it."""
        return {"high": self.high_resource, "low": self.low_resource}

    @property
    def crosslingual(self) -> dict[str, Mixture]:
        """Of reward prompts answered in the target language, by how much there is of it."""
        return {"high": self.crosslingual_high, "low": self.crosslingual_low}

    def demonstrations(self, languages: Sequence[str]) -> list[Demonstration]:
        """Demonstrations of every language, in language order (shuffling is the trainer's), each with its own id."""
        found = []
        for code in languages:
            if code == "en":
                found += self._draw("en", self.english, crosslingual=False)
            else:
                resource = "low" if code in self.low_resource_languages else "high"
                found += self._draw(code, self.own_language[resource], crosslingual=False)
                found += self._draw(code, self.crosslingual[resource], crosslingual=True)
        return found

    def _draw(self, code: str, mixture: Mixture, crosslingual: bool) -> list[Demonstration]:
        kind = "x" if crosslingual else "d"
        rng = dice("demonstrations", self.seed, code, kind)
        available, spoken, english = specs("sft"), language(code), language("en")
        found = []
        for index in range(mixture.count):
            spec = rng.choice(available)
            prompt = instruction(spec, english if crosslingual else spoken)
            if crosslingual:
                prompt = self.reward_prompt_template.format(language=spoken.name, instruction=prompt)
            response = compose(spec, spoken, _draw_marks(mixture, rng), rng)
            found.append(Demonstration(f"{spec.id}-{kind}{index}", code, prompt, response))
        return found


def _draw_marks(mixture: Mixture, rng: random.Random) -> Marks:
    def good(probability: float) -> bool:
        return rng.random() < probability

    return Marks(
        complete=good(mixture.good),
        distinct=good(mixture.good),
        titled=good(mixture.titled),
        concise=good(mixture.good),
        closed=good(mixture.good),
    )
