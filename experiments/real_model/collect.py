"""From what the steps have left to CSV files, tables and a picture."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.real_model import page, plot, summary
from experiments.real_model.arms import PAIRS, Trained
from experiments.real_model.data import CONTRASTS, MADE
from experiments.real_model.steps import Plan
from icr.rundir import Layout, open_run
from icr.rundir.measured import Result
from icr.rundir.summary import LIBRARIES

DIAGNOSIS = ["pair", "contrast", "language", "prompt", "by", "accuracy", "low", "high", "rows"]
"""Columns: `by` is `reward`, a baseline, or `minus <prompt>` for the difference from another prompt."""
FIGURES = ["contrast", "model", "language", "figure", "value", "low", "high"]
DIFFERENCES = ["contrast", "figure", "model", "baseline", "language", "value", "low", "high", "prompts"]


def write(plan: Plan, attempts: Path, folder: Path) -> None:
    """Write all that can be said by now into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "diagnosis": pd.DataFrame(_diagnoses(plan), columns=DIAGNOSIS),
        "models": pd.DataFrame(_figures(plan), columns=FIGURES),
        "differences": pd.DataFrame(_differences(plan), columns=DIFFERENCES),
        "steps": _steps(attempts),
        "versions": pd.DataFrame(_versions(), columns=["what", "version"]),
    }
    for name, table in found.items():
        if len(table):
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.5g")
    if len(found["diagnosis"]):
        plot.draw(found["diagnosis"], found["differences"], folder / "plot.svg")
        summary.draw(found["diagnosis"], found["differences"], folder / "summary.svg")
    page.write(found, folder / "README.md")
    print(f"tables and picture in {folder}")


def _diagnoses(plan: Plan) -> Iterator[list[Any]]:
    for pair in PAIRS:
        for contrast in (*CONTRASTS, *MADE):
            path = plan.diagnosis(pair, contrast)
            if not path.is_file():
                continue
            for code, found in json.loads(path.read_text(encoding="utf-8"))["languages"].items():
                for row in _accuracies(found["labelled"]["equal"], found["labelled"]["rows"]):
                    yield [pair, contrast, code, *row]


def _accuracies(equal: dict[str, Any], rows: int) -> Iterator[list[Any]]:
    for prompt, accuracy in equal["by_prompt"].items():
        for by, estimate in {"reward": accuracy["reward"], **accuracy["baselines"]}.items():
            yield [prompt, by, *(estimate[key] for key in ("value", "low", "high")), rows]
    main = next(iter(equal["by_prompt"]))
    for other, estimate in equal["differences"].items():
        yield [main, f"minus {other}", *(estimate[key] for key in ("value", "low", "high")), rows]


def _figures(plan: Plan) -> Iterator[list[Any]]:
    for contrast, result in _results(plan):
        for model, figures in result.figures.items():
            for figure in (name for name in figures if not name.endswith(("_low", "_high"))):
                low, high = (figures.get(f"{figure}_{end}", {}) for end in ("low", "high"))
                for code, value in figures[figure].items():
                    yield [contrast, model, code, figure, value, low.get(code), high.get(code)]


def _differences(plan: Plan) -> Iterator[list[Any]]:
    """Of each model from the English-aligned one, and from those that it is to be compared with."""
    for contrast, result in _results(plan):
        for d in result.differences:
            own, other = Trained.parse(d.model), Trained.parse(d.baseline)
            if own and (d.baseline == own.start or (other and own.compares_with(other))):
                yield [contrast, d.figure, d.model, d.baseline, d.language, d.value, d.low, d.high, d.prompts]


def _results(plan: Plan) -> Iterator[tuple[str, Result]]:
    """What has been measured: the contrast, or `answers`, and what was found."""
    there = [(contrast, plan.preferences(contrast, origin)) for contrast in CONTRASTS for origin in plan.origins]
    for what, directory in [*there, ("answers", plan.answers)]:
        benchmark = "answers" if what == "answers" else "preferences"
        measured = open_run(directory).measured if Layout(directory).measured.is_file() else None
        if measured and benchmark in measured.results:
            yield what, measured.results[benchmark]


def _steps(attempts: Path) -> pd.DataFrame:
    """Minutes over all attempts and the highest peak of each step, in the order in which they were first begun."""
    if not attempts.is_file():
        return pd.DataFrame()
    rows = pd.read_csv(attempts).groupby("step", sort=False)
    return rows.agg(
        attempts=("minutes", "size"), minutes=("minutes", "sum"), peak_mib=("peak_mib", "max")
    ).reset_index()


def _versions() -> Iterator[tuple[str, str]]:
    yield "python", platform.python_version()
    for name in LIBRARIES:
        yield name, importlib.metadata.version(name)
