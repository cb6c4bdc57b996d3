"""m-ArenaHard's files: prompts by language, and reference answers to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from icr.checks import require_counts
from icr.data.jsonl import id_field, read_jsonl, text_field
from icr.errors import ConfigError, DataError, near_folder, one_line
from icr.evaluation.prompt_files import joined, require_language, require_test, require_whole
from icr.types import Prompt, PromptSet

FULL_SET = 498
"""Prompts of m-ArenaHard v2 in each language."""


@dataclass(frozen=True)
class ArenaPrompts:
    """A folder of `<lang>.jsonl`, `<lang>.parquet` or `<lang>/*.parquet`, with the rows of m-ArenaHard v2.

    A row is `{"question_id": …, "category": …, "subcategory": …, "prompt": …, "language": …}`; languages are joined to
    English by `question_id`. All prompts are required unless fewer are asked for.

    Raises:
        ValueError: a number is no count.
    """

    provides: ClassVar[Literal["prompts"]] = "prompts"

    dir: str = field(compare=False)
    """Folder of the files. Keys of stages hold the prompts themselves."""
    categories: Sequence[str] | None = None
    """Those whose prompts are kept, such as `[creative_writing]`; None keeps all."""
    prompts_per_language: int | None = None
    """The first so many of the English file; None takes all, and wants `full_set` of them."""
    full_set: int | None = FULL_SET
    """Prompts in each file; None for a set of another size."""

    def __post_init__(self) -> None:
        for name in ("prompts_per_language", "full_set"):
            if getattr(self, name) is not None:
                require_counts(self, name, otherwise="or null")

    def prompts(self, languages: Sequence[str], split: str = "test") -> PromptSet:
        """All languages' prompts, language by language.

        Raises:
            ConfigError: another split than `test` is asked for, more prompts than there are, or no such category.
            DataError: a file is missing or malformed, an id is missing in a language, or the set is not whole.
        """
        require_test(split)
        texts = {code: self._read(code) for code in dict.fromkeys(["en", *languages])}
        return joined(texts, languages, self.prompts_per_language, self.dir)

    def _read(self, language: str) -> dict[str, str]:
        folder = Path(self.dir)
        if not folder.is_dir():
            raise DataError(f"evaluation.prompts.dir: the folder {folder} does not exist.{near_folder(folder)}")
        texts: dict[str, str] = {}
        categories: dict[str, object] = {}
        for where, row in _rows(folder, language):
            id = id_field(where, row, "question_id")
            if id in texts:
                raise DataError(f"{where}: the question {id!r} comes a second time.")
            texts[id], categories[id] = text_field(where, row, "prompt"), row.get("category")
        require_whole(len(texts), self.full_set, self.prompts_per_language, f"{folder}: {language}")
        if self.categories is None:
            return texts
        if unknown := [name for name in self.categories if name not in categories.values()]:
            known = ", ".join(sorted({str(name) for name in categories.values()}))
            raise ConfigError(f"evaluation.prompts.categories: there is no {unknown[0]!r}; there are {known}.")
        return {id: text for id, text in texts.items() if categories[id] in self.categories}


@dataclass(frozen=True)
class ArenaAnswers:
    """Reference answers as JSON lines, `{"question_id": …, "answer": …}`, a file per language.

    Raises:
        ValueError: the path has no place for the language.
    """

    files: str = field(compare=False)
    """Path with `{language}` in it. Keys of stages hold the answers themselves."""

    def __post_init__(self) -> None:
        require_language(self.files)

    def answers(self, prompts: Sequence[Prompt]) -> Mapping[tuple[str, str], str]:
        """The answer to each prompt, by id and language.

        Raises:
            DataError: a file is missing or malformed, or answers a question twice.
        """
        wanted = {(prompt.id, prompt.language) for prompt in prompts}
        found: dict[tuple[str, str], str] = {}
        for language in dict.fromkeys(prompt.language for prompt in prompts):
            seen: set[str] = set()
            for where, row in read_jsonl(Path(self.files.replace("{language}", language))):
                id = id_field(where, row, "question_id")
                if id in seen:
                    raise DataError(f"{where}: the question {id!r} is answered a second time.")
                seen.add(id)
                if (id, language) in wanted:
                    found[id, language] = text_field(where, row, "answer")
        return found


def _rows(folder: Path, language: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`("file, row N", object)` of a language's rows."""
    lines = folder / f"{language}.jsonl"
    if lines.is_file():
        yield from read_jsonl(lines)
        return
    tables = sorted([*folder.glob(f"{language}.parquet"), *folder.glob(f"{language}/*.parquet")])
    if not tables:
        raise DataError(f"{folder} has no {lines.name}, no {language}.parquet and no {language}/*.parquet.")
    for path in tables:
        try:
            rows = pq.read_table(path).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is no Parquet file ({one_line(error)}).") from error
        yield from ((f"{path}, row {number}", row) for number, row in enumerate(rows, start=1))
