"""What is exported: a round's model, and what its run directory tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icr.errors import RunError
from icr.models.folder import base_of
from icr.models.gguf import gguf_file
from icr.rundir.reader import open_run
from icr.rundir.results import Summary


@dataclass(frozen=True)
class FinishedRun:
    """A round of a run whose training is complete.

    Attributes:
        round: number of the round.
        model: folder of its weights or adapter, and its tokenizer.
        summary: of the run, as far as it has got.
        config: the run's `config.yaml`.
    """

    round: int
    model: Path
    summary: Summary
    config: dict[str, Any]

    @property
    def base(self) -> str | None:
        """What an adapter is to be put on: a folder or a hub name; None for a whole model."""
        return base_of(str(self.model))

    @property
    def name(self) -> str:
        """The model's name in the run's tables, such as `M1`."""
        template = str(self.config.get("stage", {}).get("result", "M{round}"))
        return template.replace("{round}", str(self.round))


def finished_run(directory: Path, round: int | None = None) -> FinishedRun:
    """The model of a round, the last complete one by default.

    Raises:
        RunError: `directory` holds no run, or one that is damaged; or the round has no complete model.
    """
    run = open_run(directory)
    if not run.trained:
        raise RunError(f"{directory} has no round with a complete model yet; the same icr run command goes on with it.")
    if round is None:
        round = run.trained[-1]
    if round not in run.trained:
        known = ", ".join(map(str, run.trained))
        raise RunError(f"--round: {directory} has no complete model of round {round}; complete rounds: {known}.")
    return FinishedRun(round, run.model(round), run.summary, run.settings())


def is_local(model: str) -> bool:
    """Whether a model's name is a folder or file of this machine rather than a name on a hub."""
    if file := gguf_file(model):
        return file.local
    return Path(model).is_dir() or model.count("/") != 1 or model.startswith((".", "/", "~"))
