"""Which sampled responses and evaluated answers the page carries, cut to a size that a browser opens at once."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from icr.report.tables import display_name

if TYPE_CHECKING:
    import pandas as pd

    from icr.rundir.reader import Run

PROMPTS = 24  # at most, of each round and language
BYTES = 1_800_000  # of UTF-8 for all samples together
CHARACTERS = 1500  # of one text
SCORES = ["reward", "policy_logp", "reference_logp", "tokens", "characters", "bytes", "usable", "reason"]


def clip(text: Any) -> str:
    """A text cut to `CHARACTERS`, saying how much is missing; lone surrogates, which UTF-8 cannot hold, replaced."""
    text = str(text if text is not None else "").encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]} … [{len(text) - CHARACTERS:,} more characters]"


def collect(run: Run) -> dict[str, Any]:
    """Prompts with their responses, by round and language, in the order of the table.

    Prompts are taken in turns (the first of each round and language, then the second …) until `PROMPTS` or `BYTES` is
    reached, so that a long-winded language does not crowd out another.

    Returns:
        `{"rounds": {t: {language: {"total", "unit", "prompts"}}}}`: prompts in the table, unit of length control, and
        the entries shown, each `{"id", "prompt", "english", "paired", "responses"}`.
    """
    shelves = {(t, l): shelf for t in run.rounds for l, shelf in _shelves(run, t).items()}
    spent = 0
    for turn in range(PROMPTS):
        for shelf in shelves.values():
            if turn >= len(shelf["waiting"]):
                continue
            entry = _entry(*shelf["waiting"][turn], shelf["scores"], shelf["pairs"], shelf["control"])
            size = len(json.dumps(entry, ensure_ascii=False).encode())
            if spent + size <= BYTES:
                spent += size
                shelf["prompts"].append(entry)
    rounds: dict[int, dict[str, Any]] = {}
    for (t, language), shelf in shelves.items():
        kept = {"total": shelf["total"], "unit": shelf["control"].get("unit", "tokens"), "prompts": shelf["prompts"]}
        rounds.setdefault(t, {})[language] = kept
    return {"rounds": rounds}


def _shelves(run: Run, number: int) -> dict[str, dict[str, Any]]:
    """Language → the first prompts of a round with their rows, and the scores and pairs to look up."""
    columns = ["id", "language", "k", "prompt", "english", "text", "finish_reason"]
    responses = run.table(number, "responses", columns)
    if responses is None:
        return {}
    rewards = run.table(number, "rewards", ["id", "language", "k", *SCORES])
    pairs = run.table(number, "pairs", ["id", "language", "chosen_k", "rejected_k"])
    shelves = {}
    for language, own in responses.groupby("language", sort=False):
        ids = list(dict.fromkeys(own["id"]))
        first = own[own["id"].isin(ids[:PROMPTS])]
        shelves[language] = {
            "total": len(ids),
            "waiting": list(first.groupby("id", sort=False)),
            "scores": _lookup(rewards, language, ids[:PROMPTS], ["id", "k"]),
            "pairs": _lookup(pairs, language, ids[:PROMPTS], ["id"]),
            "control": run.length_control.get(number, {}).get(language, {}),
            "prompts": [],
        }
    return shelves


def _lookup(frame: pd.DataFrame | None, language: str, ids: list[str], keys: list[str]) -> dict[Any, dict[str, Any]]:
    """Rows of one language as dicts, by `id` or by `(id, k)`: joined by key, never by position."""
    if frame is None:
        return {}
    rows = frame[(frame["language"] == language) & frame["id"].isin(ids)].to_dict("records")
    return {tuple(row[key] for key in keys): row for row in rows}


def _entry(id_: str, rows: pd.DataFrame, scores: dict, pairs: dict, control: dict) -> dict[str, Any]:
    """One prompt and its responses, best first by the score that pairing used."""
    first, pair = rows.iloc[0], pairs.get((id_,), {})
    responses = []
    for row in rows.to_dict("records"):
        score = scores.get((id_, row["k"]), {})
        reward = _finite(score.get("reward"))
        length = score.get(control.get("unit", "tokens"))
        known = reward is not None and length is not None
        responses.append(
            {
                "k": int(row["k"]),
                "text": clip(row["text"]),
                "finish": row.get("finish_reason", ""),
                "reward": reward,
                "score": round(reward - control["alpha"] * length, 4) if known and control.get("alpha") else reward,
                "policy": _finite(score.get("policy_logp")),
                "reference": _finite(score.get("reference_logp")),
                "tokens": _whole(score.get("tokens")),
                "characters": _whole(score.get("characters")),
                "reason": "" if score.get("usable", True) else str(score.get("reason") or "not usable"),
                "mark": "chosen"
                if row["k"] == pair.get("chosen_k")
                else "rejected"
                if row["k"] == pair.get("rejected_k")
                else "",
            }
        )
    responses.sort(key=lambda r: (r["score"] is None, -(r["score"] or 0.0), r["k"]))
    return {
        "id": str(id_),
        "prompt": clip(first["prompt"]),
        "english": clip(first.get("english")),
        "paired": bool(pair),
        "responses": responses,
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), 4)


def _whole(value: float | None) -> int | None:
    return None if value is None or not math.isfinite(value) else int(value)


def examples(run: Run, models: list[str]) -> dict[str, Any] | None:
    """The best- and the worst-judged answer in each language (targets first) of the last model that has a table.

    Returns:
        `{"model": display name, "languages": [(language, [("best", row), ("worst", row)])]}`; `None` without a table.
    """
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


def _extremes(frame: pd.DataFrame, by: str) -> list[tuple[str, dict[str, Any]]]:
    """Best and worst by score, or by preference; among equals, by the lead over the opponent, then by id."""
    rows = frame.to_dict("records")
    rows.sort(key=lambda r: (r[by], r[by] - (r.get("opponent_score") or 0.0), str(r.get("id"))))
    named = [("best", rows[-1]), ("worst", rows[0])] if len(rows) > 1 else [("only", rows[0])]
    texts = ("prompt", "text", "opponent")
    return [(label, {**row, **{key: clip(row.get(key)) for key in texts}}) for label, row in named]
