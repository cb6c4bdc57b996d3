"""What a tracker is told of its run, as the run directory has it, without secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from icr.rundir import Layout
from icr.rundir.sweeps import is_sweep, open_sweep
from icr.tracking.secrets import without_secrets

TAGGED = ("stage", "loss", "reward", "data")
"""Groups whose option is a tag."""


@dataclass(frozen=True)
class About:
    """What a run is.

    Attributes:
        config: its composed settings as plain values, without secrets.
        languages: codes.
        tags: what runs are looked for by: options of the groups in `TAGGED`, languages, and in a sweep the overrides
            that its jobs differ in, such as `loss.alpha=0.5`.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    languages: Sequence[str] = ()
    tags: Sequence[str] = ()


def about(directory: Path) -> About:
    """What the run of a directory is, as far as its files tell.

    Raises:
        RunError: the plan of its sweep is damaged.
    """
    layout = Layout(directory)
    config = _yaml(layout.config) or {}
    languages = [str(code) for code in config.get("langs", {}).get("codes", [])]
    tags = [*_options(_yaml(layout.overrides) or []), *languages, *_swept(directory)]
    return About(without_secrets(config), languages, list(dict.fromkeys(tags)))


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None


def _options(given: Sequence[str]) -> list[str]:
    """Options of the tagged groups: `icr`, `dpo`."""
    chosen = dict(override.split("=", 1) for override in given if "=" in override)
    return [chosen[group] for group in TAGGED if group in chosen]


def _swept(directory: Path) -> list[str]:
    """Where the run is a job of a sweep, what tells it from the others."""
    if not is_sweep(directory.parent):
        return []
    sweep = open_sweep(directory.parent)
    own = [job.overrides for job in sweep.jobs if sweep.run(job).resolve() == directory.resolve()]
    given = {key: value for job in own for key, value in job.items() if key in sweep.axes}
    return [f"{key}={value}" for key, value in without_secrets(given).items()]
