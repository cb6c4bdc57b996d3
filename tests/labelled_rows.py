"""Files of labelled preferences: of the embedded world, or as given."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from icr.pocket import PocketPrompts
from icr.pocket.answers import Marks, compose
from icr.pocket.lexicon import language
from icr.pocket.specs import Spec


def preference_rows(prompt, rng: random.Random, count: int) -> list[dict]:
    """Pairs of answers that differ in one mark of the judge's, which is good in chosen and bad in rejected."""
    rows = []
    for _ in range(count):
        good = [rng.random() < 0.5 for _ in range(5)]
        bad = list(good)
        place = rng.randrange(5)
        good[place], bad[place] = True, False
        spec, spoken = Spec.from_id(prompt.id), language(prompt.language)
        chosen, rejected = (compose(spec, spoken, Marks(*marks), rng) for marks in (good, bad))
        rows.append(
            {
                "id": prompt.id,
                "prompt": prompt.text,
                "prompt_en": prompt.english,
                "chosen": chosen,
                "rejected": rejected,
            }
        )
    return rows


def write_labelled(target: Path, languages: Sequence[str], prompts: int, of_each: int = 1) -> Path:
    """A folder of labelled preferences of the embedded world."""
    rng = random.Random(0)
    target.mkdir()
    for code in languages:
        rows = [
            r for p in PocketPrompts(prompts).prompts([code], "train").prompts for r in preference_rows(p, rng, of_each)
        ]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (target / f"{code}.jsonl").write_text(text, encoding="utf-8")
    return target


def write(folder, **files: list[dict]):
    """`<lang>.jsonl` for each language."""
    for code, rows in files.items():
        (folder / f"{code}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def row(id, prompt: str, **more) -> dict:
    """A row as M-RewardBench has it."""
    return {"id": id, "prompt": prompt, "chosen": "good answer", "rejected": "bad", "chosen_model": "x", **more}
