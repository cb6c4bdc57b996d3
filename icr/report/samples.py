"""Which sampled responses and evaluated answers the page carries, cut to a size that a browser opens at once."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from icr.report.tables import display_name
from icr.rundir.files import without_nan
from icr.rundir.summary import own_pairs

if TYPE_CHECKING:
    import pandas as pd

    from icr.rundir.reader import LengthCurve, Run

PROMPTS = 24  # at most, of each round and language
BYTES = 1_800_000  # of UTF-8 for all samples together
CHARACTERS = 1500  # of one text
SCORES = ["reward", "policy_logp", "reference_logp", "tokens", "characters", "bytes", "usable", "reason"]

Row: TypeAlias = dict[str, Any]
"""A row of a table, by column."""


class Sample(TypedDict):
    """A prompt and its responses, best first, each with `text`, `score`, `mark`, …: what `browser.js` shows of it."""

    id: str
    prompt: str
    english: str
    paired: bool
    responses: list[dict[str, str | float | None]]


class Shown(TypedDict):
    """What is shown of a round and language: its prompts in all, the unit of length control, and the prompts chosen."""

    total: int
    unit: str
    prompts: list[Sample]


class Samples(TypedDict):
    """What the page carries, by round and language."""

    rounds: dict[int, dict[str, Shown]]


class Answers(TypedDict):
    """Judged answers of one model: language → label (`best`, `worst`) and row of its evaluation."""

    model: str
    languages: list[tuple[str, list[tuple[str, Row]]]]


@dataclass
class _Shelf:
    """The first prompts of a round and language with their rows, and the scores and pairs to look up."""

    total: int
    waiting: list[tuple[str, pd.DataFrame]]
    scores: dict[tuple[str | int, ...], Row]
    pairs: dict[tuple[str | int, ...], Row]
    control: LengthCurve
    prompts: list[Sample] = field(default_factory=list)


def clip(text: object) -> str:
    """A text cut to `CHARACTERS`, saying how much is missing; lone surrogates, which UTF-8 cannot hold, replaced."""
    text = str(text if text is not None else "").encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]} … [{len(text) - CHARACTERS:,} more characters]"


def collect(run: Run) -> Samples:
    """Prompts with their responses, by round and language, in the order of the table.

    Prompts are taken in turns (the first of each round and language, then the second …) until `PROMPTS` or `BYTES` is
    reached, so that a long-winded language does not crowd out another.
    """
    shelves = {(t, l): shelf for t in run.rounds for l, shelf in _shelves(run, t).items()}
    spent = 0
    for turn in range(PROMPTS):
        for shelf in shelves.values():
            if turn >= len(shelf.waiting):
                continue
            entry = _sample(*shelf.waiting[turn], shelf)
            size = len(json.dumps(entry, ensure_ascii=False).encode())
            if spent + size <= BYTES:
                spent += size
                shelf.prompts.append(entry)
    rounds: dict[int, dict[str, Shown]] = {}
    for (t, language), shelf in shelves.items():
        shown: Shown = {
            "total": shelf.total,
            "unit": shelf.control.get("unit", "tokens"),
            "prompts": shelf.prompts,
        }
        rounds.setdefault(t, {})[language] = shown
    return {"rounds": rounds}


def _shelves(run: Run, number: int) -> dict[str, _Shelf]:
    columns = ["id", "language", "k", "prompt", "english", "text", "finish_reason"]
    responses = run.table(number, "responses", columns)
    if responses is None:
        return {}
    rewards = run.table(number, "rewards", ["id", "language", "k", *SCORES])
    pairs = run.table(number, "pairs", ["id", "language", "chosen_k", "rejected_k", "source"])
    if pairs is not None:
        pairs = own_pairs(pairs)  # Replayed ones are of other samples.
    shelves = {}
    for language, own in responses.groupby("language", sort=False):
        ids = list(dict.fromkeys(own["id"]))
        first = own[own["id"].isin(ids[:PROMPTS])]
        shelves[str(language)] = _Shelf(
            total=len(ids),
            waiting=[(str(id), rows) for id, rows in first.groupby("id", sort=False)],
            scores=_lookup(rewards, str(language), ids[:PROMPTS], ["id", "k"]),
            pairs=_lookup(pairs, str(language), ids[:PROMPTS], ["id"]),
            control=run.length_control.get(number, {}).get(str(language), {}),
        )
    return shelves


def _lookup(
    frame: pd.DataFrame | None, language: str, ids: list[str], keys: list[str]
) -> dict[tuple[str | int, ...], Row]:
    """Rows of one language, by `id` or by `(id, k)`: joined by key, never by position."""
    if frame is None:
        return {}
    rows = rows_of(frame[(frame["language"] == language) & frame["id"].isin(ids)])
    return {tuple(row[key] for key in keys): row for row in rows}


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """Its rows, in order."""
    return [{str(column): value for column, value in row.items()} for row in frame.to_dict("records")]


def _sample(id: str, rows: pd.DataFrame, shelf: _Shelf) -> Sample:
    """One prompt and its responses, best first by the score that pairing used."""
    first, pair = rows.iloc[0], shelf.pairs.get((id,), {})
    marks = {pair.get("rejected_k"): "rejected", pair.get("chosen_k"): "chosen"}
    responses = []
    for row in rows_of(rows):
        scored = shelf.scores.get((id, row["k"]), {})
        reward = _number(scored.get("reward"))
        length, alpha = _number(scored.get(shelf.control.get("unit", "tokens"))), shelf.control.get("alpha", 0.0)
        responses.append(
            {
                "k": int(row["k"]),
                "text": clip(row["text"]),
                "finish": row.get("finish_reason", ""),
                "reward": reward,
                "score": round(reward - alpha * length, 4) if alpha and math.isfinite(length) else reward,
                "policy": _number(scored.get("policy_logp")),
                "reference": _number(scored.get("reference_logp")),
                "tokens": scored.get("tokens"),
                "characters": scored.get("characters"),
                "reason": "" if scored.get("usable", True) else str(scored.get("reason") or "not usable"),
                "mark": marks.get(row["k"], ""),
            }
        )
    responses.sort(key=lambda r: (math.isnan(r["score"]), -r["score"], r["k"]))
    return {
        "id": id,
        "prompt": clip(first["prompt"]),
        "english": clip(first.get("english")),
        "paired": bool(pair),
        "responses": without_nan(responses),
    }


def _number(value: float | None) -> float:
    """To four decimals; NaN where there is none."""
    return math.nan if value is None else round(float(value), 4)


def examples(run: Run, models: Sequence[str]) -> Answers | None:
    """The best- and the worst-judged answer in each language (targets first) of the last model that has a table."""
    for model in reversed(models):
        frame = run.evaluation(model)
        if frame is None or not len(frame) or not {"language", "score", "text", "prompt"} <= set(frame):
            continue
        languages = sorted(dict.fromkeys(frame["language"]), key=lambda l: l == "en")
        by = "score" if frame["score"].notna().any() else "preference"
        judged = frame[frame[by].notna()]
        found = [(l, _extremes(judged[judged["language"] == l], by)) for l in languages if l in set(judged["language"])]
        return {"model": display_name(model), "languages": found}
    return None


def _extremes(frame: pd.DataFrame, by: str) -> list[tuple[str, Row]]:
    """Best and worst by score, or by preference; among equals, by the lead over the opponent, then by id."""
    rows = rows_of(frame)
    rows.sort(key=lambda r: (r[by], r[by] - (r.get("opponent_score") or 0.0), str(r.get("id"))))
    named = [("best", rows[-1]), ("worst", rows[0])] if len(rows) > 1 else [("only", rows[0])]
    texts = ("prompt", "text", "opponent")
    return [(label, {**row, **{key: clip(row.get(key)) for key in texts}}) for label, row in named]
