"""Summing up a run: from its models' figures and its tables to a `Summary`."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

import icr
from icr.rundir.files import read_frame, read_json
from icr.rundir.layout import Layout, RoundLayout
from icr.rundir.results import Counts, Figures, ModelResult, RoundCounts, Summary, with_nan

LIBRARIES = ("torch", "lightning", "transformers", "datasets", "hydra-core", "omegaconf")


def summarise(
    *,
    stage: str,
    seed: int,
    iterations: int,
    languages: Sequence[str],
    reward_pair: Mapping[str, str],
    models: Sequence[ModelResult],
    reward_accuracy: Mapping[str, Figures],
    skipped_prompts: Mapping[str, Counts],
    rounds: Sequence[RoundCounts],
    seconds: Mapping[str, float],
) -> Summary:
    """The summary of a run, with the versions that it ran with. Arguments are the fields of `Summary`.

    Args:
        rounds: as `count_rounds` finds them.
    """
    return Summary(
        stage=stage,
        seed=seed,
        version=icr.__version__,
        iterations=iterations,
        languages=list(languages),
        reward_pair=dict(reward_pair),
        models=list(models),
        reward_accuracy=dict(reward_accuracy),
        skipped_prompts=dict(skipped_prompts),
        rounds=list(rounds),
        seconds=dict(seconds),
        versions={
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
    )


def count_rounds(layout: Layout, numbers: Iterable[int]) -> list[RoundCounts]:
    """Counts of those of the rounds that have their responses.

    Raises:
        RunError: a file of a round cannot be read.
    """
    found = (count_round(layout.round(number)) for number in numbers)
    return [counts for counts in found if counts.responses]


def count_round(files: RoundLayout) -> RoundCounts:
    """Counts and means of a round, from the tables and documents that are there: what is not leaves an empty entry.

    Raises:
        RunError: a file cannot be read.
    """
    responses = read_frame(files.responses, ["id", "language"])
    means = ["chosen_reward", "rejected_reward", "chosen_tokens", "rejected_tokens"]
    everything = read_frame(files.pairs, ["language", "source", *means])
    pairs = None if everything is None else own_pairs(everything)
    replayed = None if everything is None or pairs is None else everything.drop(index=pairs.index)
    control = read_json(files.length_control)
    return RoundCounts(
        round=files.number,
        prompts=_sizes(None if responses is None else responses.drop_duplicates()),
        responses=_sizes(responses),
        pairs=_sizes(pairs),
        replayed=_sizes(replayed),
        skipped=read_json(files.skipped),
        alpha={language: result["alpha"] for language, result in control.items()},
        diagnosis={name: with_nan(values) for name, values in read_json(files.diagnosis).items()},
        **{name: _means(pairs, name) for name in means},
    )


def own_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs that a round has made, without those that were replayed."""
    return pairs[pairs["source"] == ""] if "source" in pairs else pairs


def _sizes(frame: pd.DataFrame | None) -> Counts:
    """Rows by language; none of a table without rows, which has no columns either."""
    if frame is None or "language" not in frame:
        return {}
    return {str(language): int(size) for language, size in frame.groupby("language", sort=False).size().items()}


def _means(frame: pd.DataFrame | None, column: str) -> Figures:
    if frame is None or column not in frame:
        return {}
    means = frame.groupby("language", sort=False)[column].mean().round(6)
    return {str(language): float(mean) for language, mean in means.items()}
