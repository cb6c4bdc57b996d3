"""Which answers the page carries for its browser, cut to a size that a browser opens at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict, cast

import pandas as pd

from icr.evaluation.repetition import repeats
from icr.report import samples
from icr.report.tables import display_name

if TYPE_CHECKING:
    from icr.rundir.reader import Run


class Answer(TypedDict):
    """An answer and its verdict: `q` by order and their mean, None where there is none, and why."""

    text: str
    q: float | None
    first: float | None
    second: float | None
    reason: str
    tokens: int | None
    characters: int
    off: bool
    cut: bool
    repeats: bool
    of: int


class Compared(TypedDict):
    """A prompt, the reference answer to it (None where nothing was judged), and each model's first answer, by name."""

    id: str
    prompt: str
    reference: Answer | None
    answers: dict[str, Answer]


class Shelf(TypedDict):
    """Prompts of a language in all, and those on the page."""

    total: int
    prompts: list[Compared]


class Answers(TypedDict):
    """What the page carries: names of the models with their display names, and prompts by language.

    `judged` says whether answers have verdicts.
    """

    judged: bool
    models: dict[str, str]
    languages: dict[str, Shelf]


def judged(run: Run, models: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The evaluated answers of the models that have some: rows are `icr.evaluation.JudgedResponse`."""
    found = {model: run.evaluation(model) for model in models}
    return {model: frame for model, frame in found.items() if frame is not None and len(frame)}


def described(run: Run, models: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Answers that nobody has judged, of the models that have some: rows are of `icr.evaluation.answers`."""
    found = {model: run.described(model) for model in models}
    return {model: frame for model, frame in found.items() if frame is not None and len(frame)}


def collect(run: Run, models: Sequence[str], languages: Sequence[str]) -> Answers:
    """Prompts with the answers of all models, by language, in the order of the tables.

    Prompts are taken in turns (the first of each language, then the second …) until `samples.BYTES` is reached, so that
    a long-winded language does not crowd out another.
    """
    with_verdicts = judged(run, models)
    tables = with_verdicts or described(run, models)
    waiting = _by_prompt(tables)
    order = [l for l in dict.fromkeys([*languages, *waiting]) if l in waiting]
    shelves: dict[str, Shelf] = {language: {"total": len(waiting[language]), "prompts": []} for language in order}
    spent = 0
    for turn in range(max((shelf["total"] for shelf in shelves.values()), default=0)):
        entries = [(language, waiting[language][turn]) for language in order if turn < len(waiting[language])]
        for language, rows in entries:
            entry = _compared(rows)
            size = len(json.dumps(entry, ensure_ascii=False).encode())
            if spent + size <= samples.BYTES:
                spent += size
                shelves[language]["prompts"].append(entry)
        if spent > 0.98 * samples.BYTES:
            break
    names = {model: display_name(model) for model in tables}
    return {"judged": bool(with_verdicts), "models": names, "languages": shelves}


def _by_prompt(tables: Mapping[str, pd.DataFrame]) -> dict[str, list[dict[str, list[samples.Row]]]]:
    """Rows of each prompt, by language, prompt and model."""
    found: dict[str, dict[str, dict[str, list[samples.Row]]]] = {}
    for model, frame in tables.items():
        for row in samples.rows_of(frame):
            found.setdefault(row["language"], {}).setdefault(row["id"], {}).setdefault(model, []).append(row)
    return {language: list(by_id.values()) for language, by_id in found.items()}


def _compared(rows: Mapping[str, Sequence[samples.Row]]) -> Compared:
    first = next(iter(rows.values()))[0]
    opponent = first.get("opponent")
    return {
        "id": first["id"],
        "prompt": samples.clip(first["prompt"]),
        "reference": _answer({"text": opponent, "characters": len(opponent)}) if opponent is not None else None,
        "answers": {model: _answer(own[0], len(own)) for model, own in rows.items()},
    }


def _answer(row: samples.Row, of: int = 1) -> Answer:
    known = {key: None if pd.isna(item) else item for key, item in row.items()}
    q = {name: _rounded(known.get(name)) for name in ("preference", "shown_first", "shown_second")}
    tokens = known.get("tokens")
    return {
        "text": samples.clip(known["text"]),
        "q": q["preference"],
        "first": q["shown_first"],
        "second": q["shown_second"],
        "reason": str(known.get("reason") or ""),
        "tokens": None if tokens is None else int(tokens),
        "characters": int(known["characters"]),
        "off": bool(known.get("off_language")),
        "cut": known.get("finish_reason") == "length",
        "repeats": repeats(str(known["text"])),
        "of": of,
    }


def _rounded(q: object) -> float | None:
    return None if q is None else round(float(cast(float, q)), 4)
