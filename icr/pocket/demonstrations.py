"""Demonstrations of mixed quality for the SFT stage.

What makes an answer good is learnt as a mixture, never as the rule: good and bad ways are about equally likely, so that
the English alignment that follows only has to move the weights of a mixture that the model already has. And answers to
*reward prompts* (an English instruction, an answer in another language) are among them, or the reward prompt would be
strange to both models of the reward pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

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


class Mixture(NamedTuple):
    """How many demonstrations of a kind there are, and how good they are.

    Attributes:
        count: demonstrations a language.
        good: probability of each mark but the title's to be good.
        titled: the same for the title.
    """

    count: int
    good: float
    titled: float


class PocketDemonstrations:
    """Demonstrations from the split `sft`.

    Args:
        seed: of the draw; a language's demonstrations depend on it and on the language alone.
        english, high_resource, low_resource: prompts answered in their own language (the fields of `Mixture`).
        crosslingual_high, crosslingual_low: reward prompts answered in the target language (likewise).
        low_resource_languages: codes of the languages that count as low-resource.
        reward_prompt_template: the reward prompt, with `{language}` (English name) and `{instruction}` (in English).
    """

    provides: ClassVar = "demonstrations"

    def __init__(
        self,
        seed: int = 0,
        english: Sequence[float] = (4000, 0.52, 0.68),
        high_resource: Sequence[float] = (1500, 0.42, 0.60),
        low_resource: Sequence[float] = (600, 0.38, 0.58),
        crosslingual_high: Sequence[float] = (2500, 0.46, 0.64),
        crosslingual_low: Sequence[float] = (1200, 0.46, 0.62),
        low_resource_languages: Sequence[str] = ("bn", "sw", "th"),
        reward_prompt_template: str = REWARD_PROMPT,
    ) -> None:
        self.seed = seed
        self.low_resource_languages = low_resource_languages
        self.reward_prompt_template = reward_prompt_template
        self.english = Mixture(*english)
        self.own_language = {"high": Mixture(*high_resource), "low": Mixture(*low_resource)}
        self.crosslingual = {"high": Mixture(*crosslingual_high), "low": Mixture(*crosslingual_low)}

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
        for index in range(int(mixture.count)):
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
