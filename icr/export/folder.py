"""What is exported: a round's model, and what its run directory tells of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from icr.errors import RunError
from icr.models.folder import base_of
from icr.rundir.reader import open_run


@dataclass(frozen=True)
class FinishedRun:
    """A round of a run whose training is complete.

    Attributes:
        round: number of the round.
        model: folder of its weights or adapter, and its tokenizer.
        summary: the run's `summary.json`, completed by its tables where the run is not finished.
        config: the run's `config.yaml`.
    """

    round: int
    model: Path
    summary: dict[str, Any]
    config: dict[str, Any]

    @property
    def base(self) -> str | None:
        """What an adapter is to be put on: a folder or a hub name; None for a whole model."""
        return base_of(str(self.model))

    @property
    def name(self) -> str:
        """The model's name in the run's tables, such as `M1`."""
        return self.config.get("stage", {}).get("result", "M{round}").format(round=self.round)


def finished_run(directory: Path, round: int | None = None) -> FinishedRun:
    """The model of a round, the last complete one by default.

    Raises:
        RunError: `directory` holds no run, or the round has no complete model.
    """
    run = open_run(directory)
    complete = [t for t in run.rounds if _complete(directory, t)]
    if not complete:
        raise RunError(f"{directory} has no round with a complete model yet; the same icr.run command goes on with it.")
    if round is None:
        round = complete[-1]
    if round not in complete:
        known = ", ".join(map(str, complete))
        raise RunError(f"--round: {directory} has no complete model of round {round}; complete rounds: {known}.")
    return FinishedRun(round, directory / f"round_{round}" / "model", run.summary, yaml.safe_load(run.config) or {})


def is_local(model: str) -> bool:
    """Whether a model's name is a folder of this machine rather than a name on a hub."""
    return Path(model).is_dir() or model.count("/") != 1 or model.startswith((".", "/", "~"))


def _complete(directory: Path, round: int) -> bool:
    # The folder is moved into place when it is whole; the manifest names it then, too.
    manifest = directory / "manifest.json"
    stages = json.loads(manifest.read_text(encoding="utf-8")).get("stages", {}) if manifest.is_file() else {}
    return f"round_{round}/model" in stages and (directory / f"round_{round}" / "model").is_dir()
