"""A composed run begins: what `icr run` and each job of a sweep have in common."""

from __future__ import annotations

from omegaconf import DictConfig

from icr.config.command import said
from icr.terminal import quiet


def begin(cfg: DictConfig) -> float | None:
    """Run in its own directory. Returns the last model's mean win rate, where there is a judge."""
    from icr.run.job import job  # Seconds of imports, which --help does without.

    quiet()
    with said():
        return job(cfg)
