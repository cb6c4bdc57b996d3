"""`icr run`, `python -m icr.run`: compose → check → rounds → report."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from icr.config.command import run_app, said
from icr.config.files import conf_dir
from icr.terminal import quiet


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def app(cfg: DictConfig) -> float | None:
    """One job: a run in its own directory. Returns the last model's mean win rate, where there is a judge."""
    from icr.run.job import job  # Seconds of imports, which --help does without.

    quiet()
    with said():
        return job(cfg)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit code."""
    return run_app(app, arguments, stopped="stopped. The same command on the same run.dir goes on from here.")


if __name__ == "__main__":
    sys.exit(main())
