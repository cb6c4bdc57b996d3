"""One arm as one sweep over seeds, and its results as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from experiments.lab.claim import Arm, Point
from experiments.lab.worlds import REWARD_MODEL, icr, reward_model, start
from icr.rundir import Layout, open_run
from icr.rundir.measured import Figures

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
    if arm.measured:
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(partial(measure, runs, arm), _folders(runs, arm)))


def measure(runs: Path, arm: Arm, folder: Path) -> None:
    """Measure the models of one run of an arm once more."""
    icr(str(folder), *arm.measured, f"run.dir='{_measured(runs, arm, folder)}'", command="evaluate")


def results(runs: Path, arm: Arm) -> pd.DataFrame:
    """Figures of all its finished runs, in long form.

    Beside those of models, `length_gap` is by how many tokens chosen responses are longer than rejected ones, in the
    round whose result the model is, and `reward_accuracy`, in %, has reward prompts for models.
    """
    rows = [row for folder in _folders(runs, arm) for row in (*_of_run(folder), *_once_more(runs, arm, folder))]
    found = pd.DataFrame(rows, columns=COLUMNS).drop_duplicates(COLUMNS[:4], keep="last")
    return found.sort_values(COLUMNS[:4])


def at(found: pd.DataFrame, point: Point, figure: str) -> dict[int, float]:
    """A figure of a model by seed, as the mean over the point's languages."""
    rows = found[(found.model == point.model) & (found.figure == figure) & found.language.isin(point.languages)]
    by_seed = rows.groupby("seed").value
    whole = by_seed.count() == len(point.languages)
    return {int(seed): float(value) for seed, value in by_seed.mean()[whole].items()}


def _folders(runs: Path, arm: Arm) -> list[Path]:
    """The finished runs of an arm."""
    return [folder for folder in sorted((runs / arm.folder).glob("*/")) if Layout(folder).summary.is_file()]


def _measured(runs: Path, arm: Arm, folder: Path) -> Path:
    """Where the models of a run of an arm are measured once more."""
    return runs / "measured" / arm.folder / "_".join(arm.measured) / folder.name


def _once_more(runs: Path, arm: Arm, folder: Path) -> Iterator[tuple[Any, ...]]:
    directory = _measured(runs, arm, folder)
    measured = open_run(directory).measured if arm.measured and directory.is_dir() else None
    for model, figures in measured.results["win_rate"].figures.items() if measured else ():
        yield from _long(open_run(folder).summary.seed, model, figures)


def _of_run(folder: Path) -> Iterator[tuple[Any, ...]]:
    summary = open_run(folder).summary
    for model in summary.models:
        yield from _long(summary.seed, model.label, model.figures)
    for entry in summary.rounds:
        gaps = {code: length - entry.rejected_tokens[code] for code, length in entry.chosen_tokens.items()}
        targets = [gap for code, gap in gaps.items() if code != "en"]
        for language, gap in {**gaps, "mean": fmean(targets)}.items():
            yield summary.seed, f"M{entry.round}", language, "length_gap", gap
    for prompt, accuracies in summary.reward_accuracy.items():
        for language, value in accuracies.items():
            yield summary.seed, prompt, language, "reward_accuracy", 100 * value


def _long(seed: int, model: str, figures: Figures) -> Iterator[tuple[Any, ...]]:
    for figure in FIGURES:
        for language, value in figures.get(figure, {}).items():
            yield seed, model, language, figure, value
