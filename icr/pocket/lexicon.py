"""The languages of the world. Each is a file in `languages/`; adding one there adds it everywhere.

Keys of a file:
    name: English name of the language, as the reward prompt writes it.
    numbers: how many items, as the sentences need it (with a noun or classifier where the language wants one).
    separator: what stands between the items of a list.
    prompts: one entry per phrasing, each without (`plain`) and with (`titled`) the request for a title.
    filler, closing: the sentences that may come before and after the list.
    topics: of each, the noun of the prompt, the heading of the list and the words, parallel in all the languages.

English preferences reach another language most easily where the choice is between the same tokens. So every filler
begins with "OK", and headings are Markdown's, which begin with "#" everywhere.

A topic is added by giving it to every file; a test checks that the files agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from icr.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic in one language: its `noun` in prompts, its `heading` over lists, and its `words`."""

    noun: str
    heading: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Language:
    """One language's words and sentence templates; the fields are the keys of its file.

    Attributes:
        prompts: templates with `{number}`, `{topic}` and `{name}`, by phrasing and then by titled (`False`, `True`).
        closing: template with `{name}`.
    """

    code: str
    name: str
    numbers: dict[int, str]
    separator: str
    prompts: tuple[tuple[str, str], ...]
    filler: str
    closing: str
    topics: dict[str, Topic]


@cache
def languages() -> dict[str, Language]:
    """Every language of the world by its code, English first and then in alphabetical order."""
    folder = files("icr.pocket") / "languages"
    codes = sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    codes.sort(key=lambda code: code != "en")
    return {code: _read(code, (folder / f"{code}.yaml").read_text(encoding="utf-8")) for code in codes}


def language(code: str) -> Language:
    """The language of that code.

    Raises:
        ConfigError: there is no such language.
    """
    known = languages()
    if code not in known:
        raise ConfigError(
            f"The pocket world has no language {code!r}: it has {', '.join(known)}. Set `langs` to some of these."
        )
    return known[code]


def _read(code: str, text: str) -> Language:
    entry = yaml.safe_load(text)
    return Language(
        code=code,
        name=entry["name"],
        numbers=entry["numbers"],
        separator=entry["separator"],
        prompts=tuple((phrasing["plain"], phrasing["titled"]) for phrasing in entry["prompts"]),
        filler=entry["filler"],
        closing=entry["closing"],
        topics={
            key: Topic(topic["noun"], f"# {topic['heading']}", tuple(topic["words"]))
            for key, topic in entry["topics"].items()
        },
    )
