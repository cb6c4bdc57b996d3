"""`icr run`, `python -m icr.run`: compose → check → rounds → report."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from icr.config.command import run_app
from icr.config.files import conf_dir
from icr.run.begin import begin
from icr.run.sweep.attempt import attempt
from icr.run.sweep.sweepers import register


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def app(cfg: DictConfig) -> float | None:
    """A run, or one job of a sweep. Returns the last model's mean win rate, where there is a judge."""
    return attempt(cfg) if HydraConfig.get().mode == RunMode.MULTIRUN else begin(cfg)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit code."""
    register()
    return run_app(app, arguments, stopped="stopped. The same command on the same run.dir goes on from here.")


if __name__ == "__main__":
    sys.exit(main())
