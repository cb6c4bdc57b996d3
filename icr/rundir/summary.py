"""What a run amounts to, as `summary.json`."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from pathlib import Path
from typing import Any

import pandas as pd

import icr
from icr.config import Settings
from icr.rundir.store import RunDirectory

LIBRARIES = ("torch", "lightning", "transformers", "datasets", "hydra-core", "omegaconf")


def summarise(
    settings: Settings,
    store: RunDirectory,
    figures: dict[str, dict],
    accuracy: dict[str, dict[str, float]],
    skipped_prompts: dict[str, dict[str, int]],
) -> dict[str, Any]:
    """The run's figures, counts, timings and versions.

    Args:
        figures: of each evaluated model, by name.
        accuracy: of the reward, by reward prompt and language.
        skipped_prompts: `[language][reason]`, before any round.
    """
    pair = settings.reward_pair
    return {
        "stage": settings.stage.name,
        "seed": settings.seed,
        "version": icr.__version__,
        "iterations": settings.iterations,
        "languages": list(settings.langs.codes),
        "reward_pair": {"policy": pair.policy, "reference": pair.reference},
        "models": _finite(figures),
        "reward_accuracy": _finite(accuracy),
        "skipped_prompts": skipped_prompts,
        "rounds": [
            _round(store, round) for round in range(settings.iterations) if store.complete(f"round_{round}/responses")
        ],
        "seconds": store.seconds,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
    }


def write_metrics(store: RunDirectory) -> None:
    """Join the rounds' metric files into `metrics.csv`; of a step logged twice (a kill between) the later counts."""
    tables = []
    for file in sorted(store.path.glob("round_*/metrics/version_*/metrics.csv"), key=_attempt):
        if not file.stat().st_size:
            continue  # killed as it was begun
        table = pd.read_csv(file)
        table.insert(0, "round", int(file.parts[-4].removeprefix("round_")))
        tables.append(table)
    if tables:
        joined = pd.concat(tables).drop_duplicates(["round", "step"], keep="last").sort_values(["round", "step"])
        joined.to_csv(store.path / "metrics.csv", index=False)


def _finite(value: Any) -> Any:
    """Figures with null for what could not be measured: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _attempt(file: Path) -> tuple[int, int]:
    return int(file.parts[-4].removeprefix("round_")), int(file.parts[-2].removeprefix("version_"))


def _round(store: RunDirectory, round: int) -> dict[str, Any]:
    folder = store.path / f"round_{round}"
    responses = pd.read_parquet(folder / "responses.parquet", columns=["id", "language"])
    pairs = (
        pd.read_parquet(
            folder / "pairs.parquet",
            columns=["language", "chosen_reward", "rejected_reward", "chosen_tokens", "rejected_tokens"],
        )
        if (folder / "pairs.parquet").exists()
        else pd.DataFrame(columns=["language"])
    )
    means = pairs.groupby("language", sort=False).mean()
    control = json.loads((folder / "length_control.json").read_text(encoding="utf-8"))
    return {
        "round": round,
        "prompts": responses.drop_duplicates().language.value_counts(sort=False).to_dict(),
        "responses": responses.language.value_counts(sort=False).to_dict(),
        "pairs": pairs.language.value_counts(sort=False).to_dict(),
        "skipped": json.loads((folder / "skipped.json").read_text(encoding="utf-8")),
        "alpha": {language: result["alpha"] for language, result in control.items()},
        **{name: means[name].round(6).to_dict() for name in means},
    }
