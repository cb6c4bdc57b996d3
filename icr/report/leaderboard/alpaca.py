"""Files that alpaca_eval reads: answers as `model_outputs.json`, and verdicts as `annotations.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import pandas as pd

from icr.report.leaderboard.answers import judged
from icr.report.samples import rows_of
from icr.rundir import atomic

if TYPE_CHECKING:
    from icr.evaluation.alpaca_files import ModelOutput
    from icr.rundir.reader import Run


class Annotation(TypedDict):
    """A verdict as alpaca_eval's `results/<model>/<annotator>/annotations.json` has it.

    Attributes:
        instruction, dataset: the prompt, and its language.
        output_1, generator_1: the reference answer.
        output_2, generator_2: the answer, and the model's name.
        annotator: the judge.
        preference: `1 + q`, from 1 where the reference wins to 2 where the model does; None without a verdict, which
            alpaca_eval leaves out.
    """

    instruction: str
    output_1: str
    generator_1: str
    output_2: str
    generator_2: str
    dataset: str
    annotator: str
    preference: float | None


def write_alpaca_eval(run: Run, models: Sequence[str]) -> None:
    """Write `alpaca_eval/<lang>/<model>/` for every model that was judged, and for the reference, in one move.

    Rows stand in the order of the prompts. Where a prompt has several answers each has a row, and alpaca_eval counts
    rows: its win rate is the same then, its standard error smaller.
    """
    tables = judged(run, models)
    if not tables:
        return
    judge, reference = _judge(run.settings()), _reference_name(models)

    def write(folder: Path) -> None:
        for code, answers in _reference_answers(tables).items():
            rows = [_output(prompt, text, reference, code) for prompt, text in answers.items()]
            _write(folder / code / reference, "model_outputs.json", rows)
        for model, frame in tables.items():
            for language, own in frame.groupby("language", sort=False):
                place, found = folder / str(language) / model, rows_of(own)
                outputs = [_output(row["prompt"], row["text"], model, str(language)) for row in found]
                _write(place, "model_outputs.json", outputs)
                _write(place, "annotations.json", [_annotation(row, model, reference, judge) for row in found])

    atomic.replace(run.layout.alpaca_eval, write)


def _output(prompt: str, text: str, model: str, language: str) -> ModelOutput:
    return {"instruction": prompt, "output": text, "generator": model, "dataset": language}


def _annotation(row: Mapping[str, object], model: str, reference: str, judge: str) -> Annotation:
    q = row["preference"]
    return {
        "instruction": str(row["prompt"]),
        "output_1": str(row["opponent"]),
        "generator_1": reference,
        "output_2": str(row["text"]),
        "generator_2": model,
        "dataset": str(row["language"]),
        "annotator": judge,
        "preference": None if not isinstance(q, float) or pd.isna(q) else 1 + q,
    }


def _reference_answers(tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
    """By language and prompt; they are the same for all models."""
    found: dict[str, dict[str, str]] = {}
    for frame in tables.values():
        for language, prompt, opponent in zip(frame["language"], frame["prompt"], frame["opponent"], strict=True):
            found.setdefault(language, {}).setdefault(prompt, opponent)
    return found


def _reference_name(models: Sequence[str]) -> str:
    return "reference" if "reference" not in models else "reference answers"


def _judge(settings: Mapping[str, object]) -> str:
    """The model that the judge asks, or else its class."""
    judge = settings.get("judge")
    if not isinstance(judge, Mapping):
        return "judge"
    endpoint = judge.get("endpoint")
    model = endpoint.get("model") if isinstance(endpoint, Mapping) else None
    return str(model or str(judge.get("_target_", "judge")).rpartition(".")[2])


def _write(folder: Path, name: str, rows: Sequence[ModelOutput] | Sequence[Annotation]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_json(folder / name, rows)
