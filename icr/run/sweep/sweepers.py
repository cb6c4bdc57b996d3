"""Hydra's sweepers, which keep the plan before the jobs run, and end with one table."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from icr.run.sweep.plan import announce, begin_sweep, composed, conclude
from icr.run.sweep.search import Search

OPTUNA = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"


class Grid(BasicSweeper):
    """All combinations of the values: `-m loss.alpha=0,1 seed=0,1` are four jobs."""

    def sweep(self, arguments: list[str]) -> None:
        """Plan all jobs, launch them, and show what came of them.

        Raises:
            HydraException: a job does not compose; none has begun.
            Reported: a job has not finished.
        """
        assert self.config is not None
        assert self.launcher is not None
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        overrides = OverridesParser.create(loader).parse_overrides([*self._parse_config(), *arguments])
        batches: Sequence[Sequence[Sequence[str]]] = self.split_arguments(overrides, self.max_batch_size)
        given = [job for batch in batches for job in batch]
        jobs = [composed(loader, self.config, job, number) for number, job in enumerate(given)]
        directory = begin_sweep(self.config)
        OmegaConf.save(self.config, directory / "multirun.yaml")
        announce(directory, jobs)
        first = 0
        for batch in batches:
            self.launcher.launch(batch, initial_job_idx=first)
            first += len(batch)
        conclude(directory)


def register() -> None:
    """Have Hydra call these where its configuration names its own."""
    classes = Plugins.instance().class_name_to_class
    classes[f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"] = Grid
    classes[OPTUNA] = Search
