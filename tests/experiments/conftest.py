"""Answers and prompts as the experiment on a real model reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.real_model.data import CONTRASTS

MODELS = sorted({model for pair in CONTRASTS.values() for model in pair})


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """805 prompts in three languages, answers of all models to them, and ten parallel prompts."""
    folder = tmp_path_factory.mktemp("source")
    for code in ("en", "es", "sw"):
        asked = [{"id": n, "dataset": "d", "instruction": f"{code} question {n}"} for n in range(1, 806)]
        write(folder / f"x_alpacaeval/instructions/{code}.json", asked)
        for model in MODELS:
            answers = [{**row, "output": f"Of {row['id']}. {model}! " * (2 + row["id"] % 3)} for row in asked]
            write(folder / f"x_alpacaeval/outputs/{model}.{code}.json", answers)
        lines = [{"instruction_id": str(n), "instruction": f"{code} " * (11 - n)} for n in range(10)]
        path = folder / f"ultrafeedback_parallel/{code}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def write(path: Path, rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")
