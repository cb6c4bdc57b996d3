"""Parallel prompts from files, joined strictly by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from icr.checks import require_counts, require_either
from icr.data.jsonl import read_jsonl, text_field
from icr.errors import ConfigError, DataError, near_folder
from icr.types import Prompt, PromptSet

MISSING = "id missing in some language"


@dataclass(frozen=True)
class ParallelPrompts:
    """One `<lang>.jsonl` per language; each line is `{"instruction": …, "instruction_id": …}`.

    The order is that of the English file, so that a smaller `prompts_per_language` is a subset of a larger one.
    """

    provides: ClassVar[Literal["prompts"]] = "prompts"
    key: ClassVar[str] = "data"
    """Where its settings stand, for errors."""
    holds: ClassVar[str] = "train"
    """The split that its files hold."""

    dir: str
    """Folder of the files. `en.jsonl` is always needed: it holds the reward prompts."""
    prompts_per_language: int | None = None
    """How many ids to take, from the top of the English file; None takes all."""
    on_missing: str = field(default="error", compare=False)
    """An id that is missing in one of the languages: `error` stops, `drop` leaves it out everywhere and counts it.

    The keys of stages hold the prompts themselves.
    """
    text_field: str = "instruction"
    """Field of the prompt."""
    id_field: str = "instruction_id"
    """Field of the id that joins the languages."""

    def __post_init__(self) -> None:
        require_either("on_missing", self.on_missing, "error", "drop")
        if self.prompts_per_language is not None:
            require_counts(self, "prompts_per_language", otherwise="or null")

    def prompts(self, languages: Sequence[str], split: str = "train") -> PromptSet:
        """All languages' prompts, language by language.

        Raises:
            DataError: the folder, a file or a field is missing or malformed, an id comes twice, or (with
                `on_missing=error`) an id is missing in one language.
        """
        if split != self.holds:
            group = self.key.partition(".")[0]
            raise ConfigError(f"{group}=parallel has no {split!r} split; its files hold {self.holds} prompts only.")
        folder = Path(self.dir)
        if not folder.is_dir():
            raise DataError(f"{self.key}.dir: the folder {folder} does not exist.{near_folder(folder)}")
        texts = {language: self._read(folder, language) for language in dict.fromkeys(["en", *languages])}
        shared = self._shared_ids(texts, languages, folder)
        skipped = {
            code: {MISSING: len(texts[code]) - len(shared)} for code in languages if len(texts[code]) > len(shared)
        }
        if self.prompts_per_language is not None and len(shared) < self.prompts_per_language:
            raise ConfigError(
                f"{self.key}.prompts_per_language is {self.prompts_per_language}, but {folder} has only {len(shared)} "
                f"prompts with an id in every language."
            )
        kept = shared[: self.prompts_per_language]
        prompts = [Prompt(id, code, texts[code][id], texts["en"][id]) for code in languages for id in kept]
        return PromptSet(prompts, skipped)

    def _read(self, folder: Path, language: str) -> dict[str, str]:
        path = folder / f"{language}.jsonl"
        if not path.is_file():
            found = ", ".join(sorted(p.stem for p in folder.glob("*.jsonl"))) or "none"
            raise DataError(f"{path} does not exist; languages with a file in that folder: {found}.")
        texts: dict[str, str] = {}
        for where, row in read_jsonl(path):
            if isinstance(row.get(self.id_field), int):
                row[self.id_field] = str(row[self.id_field])
            id = text_field(where, row, self.id_field)
            if id in texts:
                raise DataError(f"{where}: the id {id!r} comes a second time in this file; ids must be unique.")
            try:
                texts[id] = text_field(where, row, self.text_field)
            except DataError as error:
                raise DataError(f"{str(error).rstrip('.')} (id {id!r}).") from None
        if not texts:
            raise DataError(f"{path} holds no prompts.")
        return texts

    def _shared_ids(self, texts: dict[str, dict[str, str]], languages: Sequence[str], folder: Path) -> list[str]:
        everywhere = set.intersection(*(set(by_id) for by_id in texts.values()))
        if self.on_missing == "error":
            for id in dict.fromkeys(id for by_id in texts.values() for id in by_id):
                if lacking := [code for code, by_id in texts.items() if id not in by_id]:
                    having = next(code for code, by_id in texts.items() if id in by_id)
                    raise DataError(
                        f"{folder / (lacking[0] + '.jsonl')}: the id {id!r} of {having}.jsonl is missing there; every "
                        f"id must be in every language. {self.key}.on_missing=drop leaves such ids out and counts them."
                    )
        if not everywhere:
            raise DataError(f"{folder}: no id is in every language ({', '.join(texts)}); are the files of one set?")
        return [id for id in texts["en"] if id in everywhere]
