"""AlpacaEval's files in many languages: prompts as `<lang>.json`, answers as `model_outputs.json`, one per language."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, TypedDict

from icr.checks import require_counts
from icr.data.jsonl import id_field, text_field
from icr.errors import DataError, near_folder
from icr.evaluation.prompt_files import joined, require_language, require_test, require_whole
from icr.types import Prompt, PromptSet

FULL_SET = 805
"""Prompts of AlpacaEval, and of X-AlpacaEval in each language."""


class ModelOutput(TypedDict):
    """A row of `model_outputs.json`, as alpaca_eval reads it."""

    instruction: str
    output: str
    generator: str
    dataset: str


@dataclass(frozen=True)
class AlpacaPrompts:
    """One `<lang>.json` per language: a list of `{"id": …, "instruction": …}`, joined to English by `id`.

    All prompts are required unless fewer are asked for: a figure over a part of the set is not that of the set.

    Raises:
        ValueError: a number is no count.
    """

    provides: ClassVar[Literal["prompts"]] = "prompts"

    dir: str = field(compare=False)
    """Folder of the files. Keys of stages hold the prompts themselves."""
    prompts_per_language: int | None = None
    """The first so many of `en.json`; None takes all, and wants `full_set` of them."""
    full_set: int | None = field(default=FULL_SET, compare=False)
    """Prompts in each file; None for a set of another size."""

    def __post_init__(self) -> None:
        for name in ("prompts_per_language", "full_set"):
            if getattr(self, name) is not None:
                require_counts(self, name, otherwise="or null")

    def prompts(self, languages: Sequence[str], split: str = "test") -> PromptSet:
        """All languages' prompts, language by language.

        Raises:
            ConfigError: another split than `test` is asked for, or more prompts than there are.
            DataError: a file is missing or malformed, an id is missing in a language, or the set is not whole.
        """
        require_test(split)
        folder = Path(self.dir)
        if not folder.is_dir():
            raise DataError(f"evaluation.prompts.dir: the folder {folder} does not exist.{near_folder(folder)}")
        texts = {code: self._read(folder / f"{code}.json") for code in dict.fromkeys(["en", *languages])}
        return joined(texts, languages, self.prompts_per_language, self.dir)

    def _read(self, path: Path) -> dict[str, str]:
        texts: dict[str, str] = {}
        for where, row in read_rows(path):
            id = id_field(where, row, "id")
            if id in texts:
                raise DataError(f"{where}: the id {id!r} comes a second time in this file.")
            texts[id] = text_field(where, row, "instruction")
        require_whole(len(texts), self.full_set, self.prompts_per_language, str(path))
        return texts


@dataclass(frozen=True)
class AnswerFiles:
    """Answers in files of AlpacaEval's `model_outputs.json`, such as reference answers, or those of another model.

    Raises:
        ValueError: the path has no place for the language.
    """

    files: str = field(compare=False)
    """Path with `{language}` in it. Keys of stages hold the answers themselves."""

    def __post_init__(self) -> None:
        require_language(self.files)

    def answers(self, prompts: Sequence[Prompt]) -> dict[tuple[str, str], str]:
        """The answer to each prompt, by id and language: joined by id where the rows have ids, else by instruction.

        Raises:
            DataError: a file is missing or malformed, or a row's instruction is not that of the prompt with its id.
        """
        found: dict[tuple[str, str], str] = {}
        for language in dict.fromkeys(prompt.language for prompt in prompts):
            own = [prompt for prompt in prompts if prompt.language == language]
            path = Path(self.files.replace("{language}", language))
            for prompt, answer in _joined(path, own):
                found[prompt.id, language] = answer
        return found


def read_rows(path: Path) -> list[tuple[str, dict[str, object]]]:
    """`("file, row N", object)` for each object of a JSON list.

    Raises:
        DataError: there is no file, or it is no list of objects.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}.{near_folder(path.parent)}")
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error}).") from error
    if not isinstance(rows, list):
        raise DataError(f"{path} should hold a list, not a {type(rows).__name__}.")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: expected an object, found {type(row).__name__}.")
    return [(f"{path}, row {number}", row) for number, row in enumerate(rows, start=1)]


def _joined(path: Path, prompts: Sequence[Prompt]) -> list[tuple[Prompt, str]]:
    rows = read_rows(path)
    by_id = all("id" in row for _, row in rows)
    wanted = {(prompt.id if by_id else prompt.text): prompt for prompt in prompts}
    found: list[tuple[Prompt, str]] = []
    for where, row in rows:
        instruction = text_field(where, row, "instruction")
        prompt = wanted.pop(id_field(where, row, "id") if by_id else instruction, None)
        if prompt is None:
            continue
        if prompt.text != instruction:
            raise DataError(f"{where}: its instruction is not that of prompt {prompt.id!r} in {prompt.language!r}.")
        if not isinstance(output := row.get("output"), str):
            raise DataError(f"{where}: the field 'output' must be a string, found {type(output).__name__}.")
        found.append((prompt, output))
    return found
