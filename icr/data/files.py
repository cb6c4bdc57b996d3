"""Demonstrations and preference pairs from JSON-lines files, for the stages before ICR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from icr.data.jsonl import read_jsonl, text_field
from icr.types import Demonstration, Preference


@dataclass(frozen=True)
class DemonstrationFile:
    """Lines of `{"prompt": …, "response": …, "language": …}`, for `stage=sft`."""

    file: str
    """Path of the JSON-lines file."""

    def demonstrations(self, languages: Sequence[str]) -> list[Demonstration]:
        """Demonstrations of these languages, in file order (`language` is `en` where a line has none).

        Raises:
            DataError: the file or a line is missing or malformed.
        """
        rows = []
        for number, (where, row) in enumerate(read_jsonl(Path(self.file))):
            language = row.get("language", "en")
            rows.append(
                Demonstration(str(number), language, text_field(where, row, "prompt"), text_field(where, row, "response"))
            )
        return [row for row in rows if row.language in languages]


@dataclass(frozen=True)
class PreferenceFile:
    """Lines of `{"prompt": …, "chosen": …, "rejected": …, "language": …}`, for `stage=english_dpo`."""

    file: str
    """Path of the JSON-lines file."""

    def preferences(self, languages: Sequence[str]) -> list[Preference]:
        """Preferences of these languages, in file order (`language` is `en` where a line has none).

        Raises:
            DataError: the file or a line is missing or malformed.
        """
        rows = []
        for number, (where, row) in enumerate(read_jsonl(Path(self.file))):
            texts = [text_field(where, row, name) for name in ("prompt", "chosen", "rejected")]
            rows.append(Preference(str(number), row.get("language", "en"), *texts))
        return [row for row in rows if row.language in languages]
