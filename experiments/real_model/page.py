"""The tables of `README.md`: of the diagnosis, of what models prefer and answer, and of minutes and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.lab.markdown import between, table
from experiments.real_model.arms import CONTROLS, Trained

WRITER = "experiments/real_model/run.py"
PROMPTS = ("crosslingual", "multilingual", "english")
ACCURACY = "preference_accuracy"
ANSWERED = {
    "off_language_rate": "in another language, %",
    "repetition_rate": "in circles, %",
    "tokens": "tokens",
    "truncation_rate": "cut, %",
}


def write(found: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Put the tables into the page, which is begun if there is none."""
    text = path.read_text(encoding="utf-8") if path.is_file() else "# The method on Gemma 3 270M\n"
    parts = ["![Reward accuracy and preference accuracy](plot.svg)"] if len(found["diagnosis"]) else []
    parts += _diagnosis(found["diagnosis"]) + _models(found["models"], found["differences"])
    parts += _answers(found["models"]) + _steps(found["steps"])
    path.write_text(between(text, "\n\n".join(parts), WRITER), encoding="utf-8")


def _diagnosis(rows: pd.DataFrame) -> list[str]:
    if not len(rows):
        return []
    head = ["aligned on", "contrast", "language", *PROMPTS, "best without a reward", "crosslingual − multilingual"]
    cells = []
    for (pair, contrast, code), own in rows.groupby(["pair", "contrast", "language"], sort=False):
        by = {(row.prompt, row.by): row for row in own.itertuples()}
        main = [row for row in own.itertuples() if row.prompt == PROMPTS[0] and not row.by.startswith("minus ")]
        best = max((row for row in main if row.by != "reward"), key=lambda row: row.accuracy)
        rewards = [share(by[prompt, "reward"]) if (prompt, "reward") in by else "–" for prompt in PROMPTS]
        less = by.get((PROMPTS[0], f"minus {PROMPTS[1]}"))
        cells.append(
            [pair, contrast, code, *rewards, f"{best.accuracy:.2f} ({best.by})", signed(less) if less else "–"]
        )
    return [
        "**Reward accuracy** at equal length, with 95 % intervals over prompts, and the best of what needs no reward:",
        table(head, cells),
    ]


def _models(rows: pd.DataFrame, differences: pd.DataFrame) -> list[str]:
    own = rows[rows.figure == ACCURACY]
    if not len(own):
        return []
    codes = [code for code in dict.fromkeys(own.language) if code != "mean"]
    cells = []
    for (contrast, model), of_model in own.groupby(["contrast", "model"], sort=False):
        value = dict(zip(of_model.language, of_model.value, strict=True))
        less = differences[
            (differences.contrast == contrast)
            & (differences.model == model)
            & (differences.figure == ACCURACY)
            & (differences.language == "mean")
        ]
        others = {_kind(row.baseline): row for row in less.itertuples()}
        compared = [points(others[name]) if name in others else "–" for name in ("start", *CONTROLS.values(), "main")]
        shares = ["–" if math.isnan(value[code]) else f"{value[code]:.1f}" for code in [*codes, "mean"]]
        cells.append([contrast, model, *shares, *compared])
    head = ["contrast", "model", *codes, "mean of targets", "less its start", "less NLL control"]
    head += ["less random labels", "less the main rounds'"]
    return [
        "**Preference accuracy** of the models themselves under the prompt in the target language, %, at equal length; "
        "differences in points, with 95 % intervals over prompts:",
        table(head, cells),
    ]


def _answers(rows: pd.DataFrame) -> list[str]:
    own = rows[(rows.contrast == "answers") & (rows.language == "mean") & rows.figure.isin(list(ANSWERED))]
    if not len(own):
        return []
    cells = []
    for model, of_model in own.groupby("model", sort=False):
        value = dict(zip(of_model.figure, of_model.value, strict=True))
        cells.append([model, *(f"{value[figure]:.1f}" if figure in value else "–" for figure in ANSWERED)])
    return ["**Answers** to test prompts, mean over target languages:", table(["model", *ANSWERED.values()], cells)]


def _steps(rows: pd.DataFrame) -> list[str]:
    if not len(rows):
        return []
    cells = [
        [row.step, f"{row.minutes:.1f}", f"{row.peak_mib / 1024:.1f}", str(row.attempts)] for row in rows.itertuples()
    ]
    total = rows.minutes.sum()
    return [
        f"**Minutes and memory**, {total:.0f} minutes of steps in all:",
        table(["step", "minutes", "peak, GiB", "attempts"], cells),
    ]


def _kind(baseline: str) -> str:
    """What a model is compared with: what its rounds started from, a control, or the model of the main rounds."""
    trained = Trained.parse(baseline)
    return (trained.control or "main") if trained else "start"


def share(row: Any) -> str:
    """`0.83 [0.71, 0.91]`."""
    return f"{row.accuracy:.2f} [{row.low:.2f}, {row.high:.2f}]"


def signed(row: Any) -> str:
    """`+0.03 [-0.05, +0.11]`."""
    return f"{row.accuracy:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"


def points(row: Any) -> str:
    """`+3.0 [-5.0, +11.0]`."""
    return f"{row.value:+.1f} [{row.low:+.1f}, {row.high:+.1f}]"
