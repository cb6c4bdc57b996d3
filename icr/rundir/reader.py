"""Reading a run directory, finished or not: whatever is there, and nothing invented for what is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

import pandas as pd
import yaml

from icr.errors import RunError, one_line
from icr.rundir import content, manifest
from icr.rundir.benchmarks import described_stage
from icr.rundir.files import REMEDY, read_frame, read_json
from icr.rundir.layout import Layout, RoundLayout, round_stages
from icr.rundir.manifest import Manifest
from icr.rundir.measured import Measured
from icr.rundir.results import Summary
from icr.rundir.summary import count_rounds

TableName: TypeAlias = Literal["responses", "rewards", "pairs"]


class LengthCurve(TypedDict, total=False):
    """One language's entry of `length_control.json`: `icr.rewards.length_control.LengthControlResult` as JSON."""

    unit: str
    upper_bound: float | None
    alpha: float
    bias_before: float | None
    bias_after: float | None
    starts: list[float]
    chosen_length: list[float | None]
    rejected_length: list[float | None]
    pairs: list[int]


@dataclass(frozen=True)
class Run:
    """A run directory, as its readers see it: the page, the export, the dashboards.

    Attributes:
        layout: where everything lies.
        summary: `summary.json`, completed by what the tables of unfinished rounds tell.
        measured: `results.json` of a directory of `icr evaluate`; `None` in others.
        metrics: `metrics.csv`, numeric; empty if there is none.
        length_control: round → language → the curve of `length_control.json`, for rounds that have one.
        rounds: numbers of the rounds that have a folder, ascending.
        manifest: `manifest.json`.
        config: text of `config.yaml`, `""` without one.
        finished: whether there was a summary.
    """

    layout: Layout
    summary: Summary
    measured: Measured | None
    metrics: pd.DataFrame
    length_control: dict[int, dict[str, LengthCurve]]
    rounds: list[int]
    manifest: Manifest
    config: str
    finished: bool

    @property
    def directory(self) -> Path:
        """Path of the run directory."""
        return self.layout.path

    @property
    def trained(self) -> list[int]:
        """Numbers of the rounds whose model is complete, ascending."""
        # The folder is moved into place when it is whole; the manifest names it then, too.
        named = [number for number in self.rounds if round_stages(number).model in self.manifest["stages"]]
        return [number for number in named if self.round(number).model.is_dir()]

    def model(self, number: int) -> Path:
        """The folder of a round's model, of which every byte is as it was written.

        Raises:
            RunError: it is damaged.
        """
        stage = round_stages(number).model
        if damage := manifest.damage(self.directory, stage, self.manifest["stages"][stage]):
            raise RunError(damage)
        return self.round(number).model

    def round(self, number: int) -> RoundLayout:
        """Where everything of a round lies."""
        return self.layout.round(number)

    def table(self, number: int, name: TableName, columns: Sequence[str] | None = None) -> pd.DataFrame | None:
        """A table of a round, cut down to those of `columns` that it has; `None` if it is not there (yet)."""
        files = self.round(number)
        tables = {"responses": files.responses, "rewards": files.rewards, "pairs": files.pairs}
        return read_frame(tables[name], columns)

    def evaluation(self, model: str) -> pd.DataFrame | None:
        """The evaluated answers of one of the run's own models; `None` if there is no table."""
        return read_frame(self.layout.evaluation(model))

    def described(self, model: str) -> pd.DataFrame | None:
        """A model's answers with what is seen of them without a judge; `None` if there is no table."""
        return read_frame(self.layout.table(described_stage(model)))

    def benchmarks(self) -> Run | None:
        """What `icr evaluate` has left of the run's models; `None` if it has not measured them (yet).

        Raises:
            RunError: as `open_run`.
        """
        there = Layout(self.layout.benchmarks)
        return open_run(there.path) if there.measured.is_file() else None

    def settings(self) -> dict[str, Any]:
        """`config.yaml` as nested dictionaries, whose keys are those of `conf/`; empty without one.

        Raises:
            RunError: it is not YAML, or no mapping.
        """
        try:
            found = yaml.safe_load(self.config) or {}
        except yaml.YAMLError as error:
            raise RunError(f"{self.layout.config} is not YAML ({one_line(error)}). {REMEDY}") from error
        if not isinstance(found, dict):
            raise RunError(f"{self.layout.config} should hold a mapping, not a {type(found).__name__}. {REMEDY}")
        return found


def open_run(directory: Path) -> Run:
    """Reads everything small of a run; the tables are read when asked for, the models by those who use them.

    Raises:
        RunError: the folder does not exist or holds no run, another version of icr made it, or a file in it cannot be
            read or is not as it was written.
    """
    if not directory.is_dir():
        raise RunError(f"{directory} is not a folder. Give the directory of a run, the one with manifest.json.")
    layout = Layout(directory)
    rounds = layout.rounds()
    files = (layout.summary, layout.manifest, layout.config, layout.metrics)
    if not rounds and not any(file.is_file() for file in files):
        names = ", ".join(file.name for file in files)
        raise RunError(f"{directory} holds no run: there is none of {names} in it, and no round_<t> folder.")
    found = manifest.read(layout.manifest)
    _verify(layout, found)
    controls = {number: read_json(layout.round(number).length_control) for number in rounds}
    config = layout.config
    return Run(
        layout=layout,
        summary=_completed(_summary(layout.summary), layout, rounds),
        measured=_measured(layout.measured),
        metrics=_metrics(layout.metrics),
        length_control={number: curves for number, curves in controls.items() if curves},
        rounds=rounds,
        manifest=found,
        config=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
        finished=layout.summary.is_file(),
    )


def _verify(layout: Layout, found: Manifest) -> None:
    """Refuse what is damaged of all that a report shows; what is gone is not shown."""
    for stage, entry in found["stages"].items():
        output = layout.path / entry["output"]
        if output.is_file() and (damage := manifest.damage(layout.path, stage, entry)):
            raise RunError(damage)
    documents = {name: holds for name, holds in found["documents"].items() if (layout.path / name).is_file()}
    if changed := content.damage(layout.path, documents):
        raise RunError(f"{changed}. {REMEDY}")


def _summary(path: Path) -> Summary:
    document = read_json(path)
    try:
        return Summary.from_json(document) if document else Summary()
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is not a summary as this version of icr writes it ({error!r}). {REMEDY}") from error


def _measured(path: Path) -> Measured | None:
    document = read_json(path)
    try:
        return Measured.from_json(document) if document else None
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is not as this version of icr writes it ({error!r}). {REMEDY}") from error


def _completed(summary: Summary, layout: Layout, rounds: Sequence[int]) -> Summary:
    """The summary with the rounds that it does not (yet) count, and their languages."""
    counted = {entry.round for entry in summary.rounds}
    found = count_rounds(layout, [number for number in rounds if number not in counted])
    entries = sorted([*summary.rounds, *found], key=lambda entry: entry.round)
    seen = [language for entry in entries for language in entry.prompts]
    return replace(summary, rounds=entries, languages=list(dict.fromkeys([*summary.languages, *seen])))


def _metrics(path: Path) -> pd.DataFrame:
    """Numbers only: a last line that a running job has half written must not stop the report."""
    if not path.is_file() or path.stat().st_size == 0:
        return pd.DataFrame()
    try:
        frame = pd.read_csv(path, on_bad_lines="skip", dtype=str)
    except ValueError as error:
        raise RunError(f"{path} cannot be read as CSV ({error}).") from error
    numbers: pd.DataFrame = frame.apply(pd.to_numeric, errors="coerce")
    return numbers.dropna(subset=[c for c in ("round", "step") if c in numbers]).reset_index(drop=True)
