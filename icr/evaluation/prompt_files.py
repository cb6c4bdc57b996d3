"""What files of an evaluation's prompts and answers have in common, whatever their format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from icr.data import ParallelPrompts
from icr.errors import ConfigError, DataError
from icr.types import Prompt, PromptSet

Texts = Mapping[str, Mapping[str, str]]
"""Texts of prompts by language and id, English among them."""


@dataclass(frozen=True)
class PromptFiles(ParallelPrompts):
    """Test prompts of one's own, in files as `data=parallel` reads them."""

    key: ClassVar[str] = "evaluation.prompts"
    holds: ClassVar[str] = "test"


def require_language(files: str) -> None:
    """Refuse a path of a file per language that has no place for the language.

    Raises:
        ValueError: it has none.
    """
    if "{language}" not in files:
        raise ValueError(f"files must have {{language}} in it, as in outputs/{{language}}.json; got {files!r}")


def require_test(split: str) -> None:
    """Refuse any split but `test`.

    Raises:
        ConfigError: it is another one.
    """
    if split != "test":
        raise ConfigError(f"evaluation.split: these files hold test prompts only, not {split!r}.")


def require_whole(found: int, full_set: int | None, prompts_per_language: int | None, where: str) -> None:
    """Refuse a set that is not whole, unless a part of it is asked for.

    Args:
        found: prompts of one language.
        full_set: how many there should be; None for a set of any size.
        prompts_per_language: how many are asked for; None for all.
        where: names the file.

    Raises:
        DataError: there are more or fewer.
    """
    if full_set and prompts_per_language is None and found != full_set:
        raise DataError(
            f"{where} has {found} prompts, not {full_set}. For a part of the set, ask for it with "
            f"evaluation.prompts.prompts_per_language; for another set, give evaluation.prompts.full_set=null."
        )


def joined(texts: Texts, languages: Sequence[str], prompts_per_language: int | None, folder: str) -> PromptSet:
    """Prompts of each language, language by language, joined to English by id and in the order of English.

    Args:
        texts: of English and of all languages.
        prompts_per_language: the first so many; None takes all.
        folder: of the files.

    Raises:
        ConfigError: more are asked for than there are.
        DataError: an id is missing in a language.
    """
    ids = list(texts["en"])
    for code in languages:
        if lacking := [id for id in ids if id not in texts[code]]:
            raise DataError(
                f"{folder}: {code} lacks {len(lacking)} of the ids of en, the first of them {lacking[0]!r}: every "
                f"prompt must be in every language."
            )
    if prompts_per_language and prompts_per_language > len(ids):
        raise ConfigError(
            f"evaluation.prompts.prompts_per_language is {prompts_per_language}, but {folder} has {len(ids)}."
        )
    kept = ids[:prompts_per_language]
    return PromptSet([Prompt(id, code, texts[code][id], texts["en"][id]) for code in languages for id in kept])
