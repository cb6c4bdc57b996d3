"""MT-Bench's files in many languages: questions of two turns, and reference answers to some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icr.data.jsonl import id_field, read_jsonl, text_field
from icr.errors import DataError, near_folder

TURNS = 2


@dataclass(frozen=True)
class MTQuestion:
    """A question of two turns.

    Attributes:
        id, language: shared by its translations, and the code.
        category: such as `writing`, in English in every language.
        turns: what the user says first, and after the answer.
        references: good answers to both turns; empty where there are none.
    """

    id: str
    language: str
    category: str
    turns: tuple[str, str]
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class MTFiles:
    """A folder of questions by language: `<lang>/question.jsonl`, or `<lang>.jsonl`.

    A row is `{"question_id": …, "category": …, "turns": [first, second]}`, as in FastChat. Reference answers are beside
    `question.jsonl` in `reference_answer/`, in one file of any name, and rows of `{"question_id": …, "choices":
    [{"turns": [first, second]}]}`; or in the row of the question, as `"reference": [first, second]`.
    """

    dir: str = field(compare=False)
    """The folder. Keys of stages hold the questions themselves."""

    def questions(self, languages: Sequence[str]) -> list[MTQuestion]:
        """All languages' questions, language by language, in the order of their files.

        Raises:
            DataError: a file is missing or malformed, or languages differ in questions.
        """
        folder = Path(self.dir)
        if not folder.is_dir():
            raise DataError(f"benchmark.questions.dir: the folder {folder} does not exist.{near_folder(folder)}")
        by_language = {language: _read(folder, language) for language in languages}
        first, *others = by_language
        for other in others:
            ours, theirs = ({q.id: q.category for q in by_language[code]} for code in (first, other))
            if alone := [id for id in {**ours, **theirs} if ours.get(id) != theirs.get(id)]:
                raise DataError(
                    f"{folder}: {len(alone)} questions are not the same in {first} and {other}, the first of them "
                    f"{alone[0]!r}: every language must have the same ids, in the same categories."
                )
        return [question for questions in by_language.values() for question in questions]


def _read(folder: Path, language: str) -> list[MTQuestion]:
    own, flat = folder / language / "question.jsonl", folder / f"{language}.jsonl"
    path = own if own.is_file() else flat
    if not path.is_file():
        raise DataError(f"benchmark.questions: {folder} has neither {own.relative_to(folder)} nor {flat.name}.")
    references = _references(own.parent / "reference_answer") if path == own else {}
    questions: dict[str, MTQuestion] = {}
    for where, row in read_jsonl(path):
        id = id_field(where, row, "question_id")
        if id in questions:
            raise DataError(f"{where}: the question {id!r} comes a second time in this file.")
        good = _turns(where, row, "reference") if row.get("reference") else references.get(id, ())
        category = text_field(where, row, "category")
        first, second = _turns(where, row, "turns")
        questions[id] = MTQuestion(id, language, category, (first, second), good)
    if not questions:
        raise DataError(f"{path} holds no question.")
    return list(questions.values())


def _references(folder: Path) -> dict[str, tuple[str, ...]]:
    files = sorted(folder.glob("*.jsonl"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise DataError(f"{folder} holds several files of reference answers ({names}): leave one.")
    found: dict[str, tuple[str, ...]] = {}
    for where, row in read_jsonl(files[0]) if files else []:
        choices = row.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise DataError(f"{where}: the field 'choices' must be a list of one object with 'turns'.")
        found[id_field(where, row, "question_id")] = _turns(where, choices[0], "turns")
    return found


def _turns(where: str, row: dict[str, Any], name: str) -> tuple[str, ...]:
    turns = row.get(name)
    if not isinstance(turns, list) or len(turns) != TURNS:
        raise DataError(f"{where}: the field {name!r} must be a list of {TURNS} texts, one per turn.")
    return tuple(text_field(f"{where}, turn {n}", {name: turn}, name) for n, turn in enumerate(turns, start=1))
