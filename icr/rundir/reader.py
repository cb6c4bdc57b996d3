"""Reading a run directory, finished or not: whatever is there, and nothing invented for what is not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq

from icr.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(slots=True)
class Run:
    """A run directory as the report sees it.

    Attributes:
        directory: where it lies.
        summary: `summary.json`, completed by what the tables of unfinished rounds tell; its keys are
            always there, `None` where nothing is known.
        metrics: `metrics.csv`, numeric; empty if there is none.
        length_control: round → language → the curve of `length_control.json`, for rounds that have one.
        rounds: numbers of the `round_<t>` folders, ascending.
        config: text of `config.yaml`, `""` without one.
        finished: whether `summary.json` was there.
    """

    directory: Path
    summary: dict[str, Any]
    metrics: pd.DataFrame
    length_control: dict[int, dict[str, dict[str, Any]]]
    rounds: list[int] = field(default_factory=list)
    config: str = ""
    finished: bool = False

    def table(self, number: int, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame | None:
        """`round_<number>/<name>.parquet`, cut down to those of `columns` that it has; `None` if it does not exist."""
        return _parquet(self.directory / f"round_{number}" / f"{name}.parquet", columns)

    def evaluation(self, model: str) -> pd.DataFrame | None:
        """`evaluation/<model>.parquet`; `None` if it does not exist."""
        return _parquet(self.directory / "evaluation" / f"{model}.parquet")


def open_run(directory: Path) -> Run:
    """Reads everything small of a run; the tables are read when asked for.

    Raises:
        RunError: the folder does not exist or holds no run, or a file in it cannot be read.
    """
    if not directory.is_dir():
        raise RunError(f"{directory} is not a folder. Give the directory of a run, the one with manifest.json.")
    rounds = sorted(int(m[1]) for path in directory.iterdir() if (m := re.fullmatch(r"round_(\d+)", path.name)))
    names = ("summary.json", "manifest.json", "config.yaml", "metrics.csv")
    if not rounds and not any((directory / name).is_file() for name in names):
        raise RunError(f"{directory} holds no run: there is none of {', '.join(names)} in it, and no round_<t> folder.")
    config = directory / "config.yaml"
    run = Run(
        directory=directory,
        summary=_json(directory / "summary.json"),
        metrics=_metrics(directory / "metrics.csv"),
        length_control={t: c for t in rounds if (c := _json(directory / f"round_{t}" / "length_control.json"))},
        rounds=rounds,
        config=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
        finished=(directory / "summary.json").is_file(),
    )
    _complete(run)
    return run


def _complete(run: Run) -> None:
    """Adds the rounds that the summary does not (yet) count, from their tables, and the keys that are always there."""
    summary = run.summary
    counted = {entry.get("round") for entry in summary.get("rounds") or []}
    found = [_count_round(run, t) for t in run.rounds if t not in counted]
    rounds = [*(summary.get("rounds") or []), *(entry for entry in found if entry["prompts"])]
    summary["rounds"] = sorted(rounds, key=lambda entry: entry["round"])
    summary["models"] = summary.get("models") or {}
    for key in ("stage", "seed", "version", "reward_pair", "versions", "seconds"):
        summary.setdefault(key, None)
    seen = [l for entry in summary["rounds"] for l in entry.get("prompts", {})]
    seen += [l for model in summary["models"].values() for l in model.get("win_rate", {}) if l != "mean"]
    summary["languages"] = list(dict.fromkeys([*(summary.get("languages") or []), *seen]))


def _count_round(run: Run, number: int) -> dict[str, Any]:
    """An entry of `summary["rounds"]` with the counts that the tables of an unfinished round give, by language."""
    entry: dict[str, Any] = {"round": number, "prompts": {}, "responses": {}}
    responses = run.table(number, "responses", ["id", "language"])
    if responses is not None:
        entry["responses"] = responses.groupby("language", sort=False).size().to_dict()
        entry["prompts"] = responses.groupby("language", sort=False)["id"].nunique().to_dict()
    columns = ["language", "chosen_reward", "rejected_reward", "chosen_tokens", "rejected_tokens"]
    pairs = run.table(number, "pairs", columns)
    if pairs is not None:
        groups = pairs.groupby("language", sort=False)
        entry["pairs"] = groups.size().to_dict()
        entry |= {name: groups[name].mean().to_dict() for name in columns[1:] if name in pairs}
    entry["alpha"] = {l: c["alpha"] for l, c in run.length_control.get(number, {}).items() if "alpha" in c}
    return entry


def _parquet(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        present = pq.read_schema(path).names
        return pq.read_table(path, columns=[c for c in columns or present if c in present]).to_pandas()
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as Parquet ({error}). Delete it and run that stage again.") from error


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is not JSON ({error}). Delete it and run that stage again.") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} should hold a JSON object, not a {type(content).__name__}.")
    return content


def _metrics(path: Path) -> pd.DataFrame:
    """Numbers only: a last line that a running job has half written must not stop the report."""
    if not path.is_file() or path.stat().st_size == 0:
        return pd.DataFrame()
    try:
        frame = pd.read_csv(path, on_bad_lines="skip", dtype=str)
    except ValueError as error:
        raise RunError(f"{path} cannot be read as CSV ({error}).") from error
    frame = frame.apply(pd.to_numeric, errors="coerce")
    return frame.dropna(subset=[c for c in ("round", "step") if c in frame]).reset_index(drop=True)
