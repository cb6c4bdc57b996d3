"""Answers: what they are made of, how one of a given quality is composed, and how a text is read back."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from icr.pocket.lexicon import Language
    from icr.pocket.specs import Spec

_PUNCTUATION = ".,:;!?।«»#"


@dataclass(frozen=True, slots=True)
class Marks:
    """What can be good or bad about an answer, each independent of the others.

    Attributes:
        complete: it has as many words of the topic as asked.
        distinct: no item comes twice.
        titled: it has the topic's heading if, and only if, a title was asked for.
        concise: nothing but heading, list and closing, so no filler before the list.
        closed: it ends with the closing sentence for the right name.
    """

    complete: bool
    distinct: bool
    titled: bool
    concise: bool
    closed: bool

    @property
    def mean(self) -> float:
        """Share of the marks that are good."""
        return float(sum(astuple(self)) / len(fields(self)))


@dataclass(frozen=True, slots=True)
class Answer:
    """The parts of an answer, each on its line: filler, heading, items, closing. Only the items have to be there."""

    items: tuple[str, ...]
    heading: bool
    filler: bool
    closing: bool

    def text(self, spec: Spec, language: Language) -> str:
        """The answer written out."""
        lines = [
            language.filler if self.filler else "",
            language.topics[spec.topic].heading if self.heading else "",
            language.separator.join(self.items),
            language.closing.format(name=spec.name) if self.closing else "",
        ]
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text amounts to as an answer.

    Attributes:
        marks: what is good about it.
        valid: share of its words that belong in an answer to this instruction in this language.
        well_formed: it is an `Answer` written out, word for word and line for line (its items may be any single words).
    """

    marks: Marks
    valid: float
    well_formed: bool


def compose(spec: Spec, language: Language, marks: Marks, rng: random.Random) -> str:
    """An answer that earns exactly these marks: consecutive words of the topic from a random start.

    An incomplete answer is one item short; where items are not distinct, the last one repeats the one before it.
    """
    words = language.topics[spec.topic].words
    start = rng.randrange(len(words))
    number = spec.number if marks.complete else spec.number - 1
    items = [words[(start + step) % len(words)] for step in range(number)]
    if not marks.distinct:
        items[-1] = items[-2]
    return Answer(
        items=tuple(items),
        heading=spec.titled == marks.titled,
        filler=not marks.concise,
        closing=marks.closed,
    ).text(spec, language)


def read(text: str, spec: Spec, language: Language) -> Reading:
    """Reads any text as an answer: filler and heading, where they are there, then the list, then the closing.

    A text that lists no word of the topic earns no mark.
    """
    topic = language.topics[spec.topic]
    closing = language.closing.format(name=spec.name)
    lines = text.split("\n")
    filler = lines[:1] == [language.filler]
    heading = lines[filler : filler + 1] == [topic.heading]
    listing, *rest = lines[filler + heading :] or [""]
    items = tuple(listing.split(language.separator))
    listed = [item for item in items if item in topic.words]
    answer = Answer(items, heading, filler, closing=closing in rest)
    marks = Marks(
        complete=len(listed) == spec.number,
        distinct=len(set(listed)) == len(listed),
        titled=heading == spec.titled,
        concise=not filler and all(line == closing for line in rest),
        closed=rest[-1:] == [closing],
    )
    return Reading(
        marks=marks if listed else Marks(False, False, False, False, False),
        valid=_share_valid(text, [*topic.words, topic.heading, language.filler, closing]),
        well_formed=all(_words(item) == [item] for item in items) and answer.text(spec, language) == text,
    )


def _share_valid(text: str, expected: list[str]) -> float:
    lexicon = {word for phrase in expected for word in _words(phrase)}
    words = _words(text)
    return sum(word in lexicon for word in words) / len(words) if words else 0.0


def _words(text: str) -> list[str]:
    stripped = (word.strip(_PUNCTUATION) for word in text.split())
    return [word for word in stripped if word]
