"""One arm as one sweep over seeds, and its results as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from experiments.lab.claim import Arm, Point
from experiments.lab.worlds import REWARD_MODEL, icr, reward_model, start
from icr.errors import RunError
from icr.rundir import Summary, open_run

SETTINGS = ("evaluation.n=2",)
"""Overrides of every run: two answers to each test prompt, for less noise."""
FIGURES = ("win_rate", "win_rate_se", "judge_score", "tokens")
COLUMNS = ["seed", "model", "language", "figure", "value"]


def sweep(runs: Path, arm: Arm, seeds: Sequence[int], jobs: int) -> None:
    """Run an arm for these seeds, `jobs` at a time; finished runs are left as they are."""
    policy, reference = start(runs, arm.world, "${seed}")
    icr(
        "-m",
        f"seed={','.join(map(str, seeds))}",
        f"model.path={policy}",
        f"model.reference={reference}",
        *SETTINGS,
        *(word.replace(REWARD_MODEL, str(reward_model(runs, "${seed}"))) for word in arm.overrides),
        f"run.dir={runs / arm.folder}",
        "hydra/launcher=joblib",
        f"hydra.launcher.n_jobs={jobs}",
    )


def results(runs: Path, arm: Arm) -> pd.DataFrame:
    """Figures of all its finished runs, in long form.

    Beside those of models, `length_gap` is by how many tokens chosen responses are longer than rejected ones, in the
    round whose result the model is, and `reward_accuracy`, in %, has reward prompts for models.
    """
    rows = [row for folder in sorted((runs / arm.folder).glob("*/")) for row in _rows(folder)]
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:4]).drop_duplicates(COLUMNS[:4])


def at(found: pd.DataFrame, point: Point, figure: str) -> dict[int, float]:
    """A figure of a model by seed, as the mean over the point's languages."""
    rows = found[(found.model == point.model) & (found.figure == figure) & found.language.isin(point.languages)]
    by_seed = rows.groupby("seed").value
    whole = by_seed.count() == len(point.languages)
    return {int(seed): float(value) for seed, value in by_seed.mean()[whole].items()}


def _rows(folder: Path) -> Iterator[tuple[Any, ...]]:
    try:
        summary = open_run(folder).summary
    except RunError:
        return  # Not finished.
    yield from _of_models(summary)
    for entry in summary.rounds:
        gaps = {code: length - entry.rejected_tokens[code] for code, length in entry.chosen_tokens.items()}
        targets = [gap for code, gap in gaps.items() if code != "en"]
        for language, gap in {**gaps, "mean": fmean(targets)}.items():
            yield summary.seed, f"M{entry.round}", language, "length_gap", gap
    for prompt, accuracies in summary.reward_accuracy.items():
        for language, value in accuracies.items():
            yield summary.seed, prompt, language, "reward_accuracy", 100 * value


def _of_models(summary: Summary) -> Iterator[tuple[Any, ...]]:
    for model in summary.models:
        for figure in FIGURES:
            for language, value in model.figures.get(figure, {}).items():
                yield summary.seed, model.label, language, figure, value
