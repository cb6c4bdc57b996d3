"""Labelled preferences in several languages, from a folder of files: one answer of two is known to be the better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icr.data.context import TOO_LONG, TURN_TOKENS, fits
from icr.data.jsonl import read_jsonl, text_field
from icr.errors import DataError, near_folder
from icr.models import Renderer
from icr.types import Prompt

CATEGORIES = {
    "Chat": "alpacaeval-easy alpacaeval-length alpacaeval-hard mt-bench-easy mt-bench-med",
    "Chat-Hard": "mt-bench-hard llmbar-natural llmbar-adver-neighbor llmbar-adver-GPTInst llmbar-adver-GPTOut "
    "llmbar-adver-manual",
    "Safety": "refusals-dangerous refusals-offensive xstest-should-refuse xstest-should-respond donotanswer",
    "Reasoning": "math-prm hep-cpp hep-go hep-java hep-js hep-python hep-rust",
}
"""RewardBench's categories and their subsets (Lambert et al. 2024, arXiv 2403.13787, table 1)."""
OF_SUBSET = {subset: category for category, subsets in CATEGORIES.items() for subset in subsets.split()}

SAME = "chosen equals rejected"
NOTHING = "nothing left at equal length"


@dataclass(frozen=True)
class Labelled:
    """Two answers to one prompt.

    Attributes:
        prompt: its id is unique in its language.
        chosen, rejected: the better and the worse answer.
        cluster: id of the instruction, which several rows may share.
        category: over which the mean is plain; `""` where rows have none.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    cluster: str
    category: str = ""


@dataclass(frozen=True)
class LabelledSet:
    """Labelled preferences by language, and what was left out: `skipped[language][reason]` is a count."""

    rows: dict[str, list[Labelled]]
    skipped: dict[str, Counter[str]] = field(default_factory=dict)


def read(
    folder: Path, languages: Sequence[str], most: int | None, *, key: str, needs_english: bool = True
) -> LabelledSet:
    """The first `most` rows of `<lang>.jsonl` for each of the languages that has a file.

    A line has `prompt`, `chosen` and `rejected`, and the English prompt as `prompt_en`. Where it has none, its `id` is
    looked up in `en.jsonl`, as M-RewardBench's rows are joined. `category`, or RewardBench's category of `subset`, says
    what the mean is taken over.

    Args:
        key: the setting that names the folder, for errors.
        needs_english: whether the English prompt must be known; else the prompt stands in for it.

    Raises:
        DataError: the folder or all files are missing, a line is malformed, or an English prompt is not to be found.
    """
    if not folder.is_dir():
        raise DataError(f"{key}: the folder {folder} does not exist.{near_folder(folder)}")
    there = [code for code in languages if (folder / f"{code}.jsonl").is_file()]
    if not there:
        found = ", ".join(sorted(path.stem for path in folder.glob("*.jsonl"))) or "none"
        raise DataError(
            f"{key}: {folder} has no <lang>.jsonl for any of {', '.join(languages)}; languages with a file "
            f"there: {found}. Choose them with langs=[…]."
        )
    english = _English(folder / "en.jsonl") if needs_english else None
    return LabelledSet({code: _rows(folder / f"{code}.jsonl", code, english, most) for code in there})


Texts = Sequence[Callable[[Prompt], str]]
"""What a prompt is rendered from: its own text, and that of each reward prompt."""


def usable(given: LabelledSet, renderer: Renderer, texts: Texts, context: int | None) -> LabelledSet:
    """The rows whose texts hold no turn tokens, fit the context and differ; the others are counted."""
    kept: dict[str, list[Labelled]] = {}
    skipped: dict[str, Counter[str]] = {}
    for code, rows in given.rows.items():
        reasons = [_unusable(row, renderer, texts, context) for row in rows]
        kept[code] = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
        skipped[code] = given.skipped.get(code, Counter()) + Counter(reason for reason in reasons if reason)
    return LabelledSet(kept, skipped)


def response_ids(row: Labelled, renderer: Renderer) -> tuple[list[int], list[int], int]:
    """Tokens of chosen and rejected, each with its end of turn, and the length `n` at which both are equally long.

    That is the length of the shorter one without its end-of-turn token: the first `n` tokens of neither have one, which
    would give the length of the shorter one away.
    """
    chosen, rejected = (renderer.response_ids(text) for text in (row.chosen, row.rejected))
    return chosen, rejected, min(len(chosen), len(rejected)) - 1


def _unusable(row: Labelled, renderer: Renderer, texts: Texts, context: int | None) -> str:
    prompt = row.prompt
    if row.chosen == row.rejected:
        return SAME
    if any(map(renderer.has_turn_tokens, (prompt.text, prompt.english, row.chosen, row.rejected))):
        return TURN_TOKENS
    sides = [len(renderer.response_ids(text)) for text in (row.chosen, row.rejected)]
    if min(sides) < 2:
        return NOTHING
    if context is None:
        return ""
    prompts = [len(renderer.prompt_ids(text(prompt))) for text in texts]
    return "" if fits(max(prompts), context, max(sides)) else TOO_LONG


def _rows(path: Path, code: str, english: _English | None, most: int | None) -> list[Labelled]:
    rows: list[Labelled] = []
    seen: Counter[str] = Counter()
    for where, row in read_jsonl(path):
        prompt = text_field(where, row, "prompt")
        id = _id(row) or where.rpartition(" ")[2]
        seen[id] += 1
        unique = id if seen[id] == 1 else f"{id} ({seen[id]})"
        original = prompt if code == "en" or english is None else english.of(where, row)
        rows.append(
            Labelled(
                Prompt(unique, code, prompt, original),
                text_field(where, row, "chosen"),
                text_field(where, row, "rejected"),
                cluster=id,
                category=_category(row),
            )
        )
        if most is not None and len(rows) == most:
            break
    if not rows:
        raise DataError(f"{path} holds no labelled preferences.")
    return rows


@dataclass
class _English:
    """English prompts: beside a row, or by its id from the English file, which is read when it is first needed."""

    path: Path
    known: dict[str, str] | None = None

    def of(self, where: str, row: dict[str, Any]) -> str:
        if "prompt_en" in row:
            return text_field(where, row, "prompt_en")
        id = _id(row)
        if self.known is None:
            self.known = dict(self._read()) if self.path.is_file() else {}
        if not id or id not in self.known:
            raise DataError(
                f"{where}: it has no prompt_en, and {self.path.name} has no row with its id {id!r}: the reward prompts "
                f"need the English prompt."
            )
        return self.known[id]

    def _read(self) -> Mapping[str, str]:
        return {id: text_field(where, row, "prompt") for where, row in read_jsonl(self.path) if (id := _id(row))}


def _id(row: Mapping[str, Any]) -> str:
    id = row.get("id")
    return str(id) if isinstance(id, (str, int)) and not isinstance(id, bool) else ""


def _category(row: Mapping[str, Any]) -> str:
    subset = str(row.get("subset") or "")
    return str(row.get("category") or OF_SUBSET.get(subset, subset))
