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
ACCURACY, LIKELIER = "preference_accuracy", "chosen_likelier"
MARGIN, LIKELIHOOD = "preference_margin", "chosen_logp"
MEASURED = {
    ACCURACY: ("Preference accuracy", "%, of the log-ratio against what was aligned, at equal length", 1),
    LIKELIER: ("The better answer is the likelier one", "%, under the model alone, at equal length", 1),
    MARGIN: ("Margin of the log-ratio", "nats per token", 3),
    LIKELIHOOD: ("Log-likelihood of the better answers", "nats per token", 2),
}
"""What models themselves make of the labelled answers under the prompt in the target language: name, unit, digits."""
GAINS = {
    "accuracy": (ACCURACY, "start"),
    "likelier one, less its start": (LIKELIER, "start"),
    "… less NLL control": (LIKELIER, "nll"),
    "… less random labels": (LIKELIER, "random"),
    "margin": (MARGIN, "start"),
    "log-likelihood": (LIKELIHOOD, "start"),
}
"""Columns of the short table."""
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
    if not len(rows[rows.figure == ACCURACY]):
        return []
    parts = [
        "**What the rounds have changed**: how the models themselves take the labelled answers under the prompt in the "
        "target language, mean of the target languages less the model that the rounds start from, with 95 % intervals "
        "over prompts:",
        _gains(differences),
    ]
    for figure, (name, unit, digits) in MEASURED.items():
        grid = _by_language(rows[rows.figure == figure], differences[differences.figure == figure], digits)
        parts.append(
            f"<details><summary>{name} in each language and of the controls, {unit}</summary>\n\n{grid}\n\n</details>"
        )
    return parts


def _gains(differences: pd.DataFrame) -> str:
    """A row a contrast and model, controls apart."""
    means = differences[differences.language == "mean"]
    cells = []
    for (contrast, model), own in means.groupby(["contrast", "model"], sort=False):
        found = {(row.figure, _kind(row.baseline)): row for row in own.itertuples()}
        if contrast != "answers" and not Trained.parse(model).control:
            compared = [interval(found[key], MEASURED[key[0]][2]) if key in found else "–" for key in GAINS.values()]
            cells.append([contrast, model, *compared])
    return table(["contrast", "model", *GAINS], cells)


def _by_language(rows: pd.DataFrame, differences: pd.DataFrame, digits: int) -> str:
    codes = [code for code in dict.fromkeys(rows.language) if code != "mean"]
    means = differences[differences.language == "mean"]
    cells = []
    for (contrast, model), of_model in rows.groupby(["contrast", "model"], sort=False):
        value = dict(zip(of_model.language, of_model.value, strict=True))
        less = means[(means.contrast == contrast) & (means.model == model)]
        others = {_kind(row.baseline): interval(row, digits) for row in less.itertuples()}
        compared = [others.get(name, "–") for name in ("start", *CONTROLS.values(), "main")]
        shown = ["–" if math.isnan(value[code]) else f"{value[code]:.{digits}f}" for code in [*codes, "mean"]]
        cells.append([contrast, model, *shown, *compared])
    head = ["contrast", "model", *codes, "mean of targets", "less its start", "less NLL control"]
    return table([*head, "less random labels", "less the main rounds'"], cells)


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


def interval(row: Any, digits: int) -> str:
    """`+3.0 [-5.0, +11.0]`."""
    return f"{row.value:+.{digits}f} [{row.low:+.{digits}f}, {row.high:+.{digits}f}]"
