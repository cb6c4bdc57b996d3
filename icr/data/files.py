"""Demonstrations and preference pairs from JSON-lines files, for the stages before ICR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from icr.data.jsonl import read_jsonl, text_field
from icr.errors import DataError
from icr.types import DataSource, Demonstration, Preference


@dataclass(frozen=True)
class DemonstrationFile:
    """Lines of `{"prompt": …, "response": …, "language": …}`, for `stage=sft`."""

    provides: ClassVar[Literal["demonstrations"]] = "demonstrations"

    file: str
    """Path of the JSON-lines file."""
    cut: bool = False
    """Whether the answers were cut short: they then have no end-of-turn token."""

    def demonstrations(self, languages: Sequence[str]) -> list[Demonstration]:
        """Demonstrations of these languages, in file order (`language` is `en` where a line has none).

        Raises:
            DataError: the file is missing, a line is malformed, or none is in these languages.
        """
        return [Demonstration(*row, cut=self.cut) for row in _rows(self.file, ("prompt", "response"), languages)]


@dataclass(frozen=True)
class PreferenceFile:
    """Lines of `{"prompt": …, "chosen": …, "rejected": …, "language": …}`, for `stage=english_dpo`."""

    provides: ClassVar[Literal["preferences"]] = "preferences"

    file: str
    """Path of the JSON-lines file."""
    cut: bool = False
    """Whether the answers were cut short: they then have no end-of-turn token."""

    def preferences(self, languages: Sequence[str]) -> list[Preference]:
        """Preferences of these languages, in file order (`language` is `en` where a line has none).

        Raises:
            DataError: the file is missing, a line is malformed, or none is in these languages.
        """
        return [Preference(*row, cut=self.cut) for row in _rows(self.file, ("prompt", "chosen", "rejected"), languages)]


def given(source: DataSource, languages: Sequence[str]) -> Sequence[Demonstration] | Sequence[Preference]:
    """What a source provides to train on as it is; nothing, where it provides prompts."""
    if source.provides == "demonstrations":
        return source.demonstrations(languages)
    return source.preferences(languages) if source.provides == "preferences" else []


def _rows(file: str, fields: Sequence[str], languages: Sequence[str]) -> list[list[str]]:
    """`[id, language, *fields]` of each line in these languages; the id is the line's place in the file."""
    rows = [
        [
            str(number),
            text_field(where, {"language": "en", **row}, "language"),
            *(text_field(where, row, name) for name in fields),
        ]
        for number, (where, row) in enumerate(read_jsonl(Path(file)))
    ]
    kept = [row for row in rows if row[1] in languages]
    if not kept:
        found = ", ".join(sorted({row[1] for row in rows})) or "none"
        raise DataError(f"{file} has no line in {', '.join(languages)} (langs.codes); languages found: {found}.")
    return kept
