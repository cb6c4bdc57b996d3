"""Hydra's sweepers, which keep the plan before the jobs run, and end with one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from icr.run.sweep.plan import announce, begin_sweep, composed, conclude, launch
from icr.run.sweep.search import OPTUNA, Search, SearchSettings
from icr.run.sweep.sweeper import Planner

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class Grid(Planner):
    """All combinations of the values: `-m loss.alpha=0,1 seed=0,1` are four jobs.

    Args:
        max_batch_size: jobs that the launcher is given together; None for all.
        params: further arguments, by key.
    """

    def __init__(self, max_batch_size: int | None, params: Mapping[str, object] | None = None):
        super().__init__(params)
        self.max_batch_size = max_batch_size

    def sweep(self, arguments: list[str]) -> None:
        """Plan all jobs, launch them, and show what came of them.

        Raises:
            HydraException: a job does not compose; none has begun.
            Reported: a job has not finished.
        """
        batches = self._batches(arguments)
        given = [job for batch in batches for job in batch]
        jobs = [composed(self.loader, self.settings, job, number) for number, job in enumerate(given)]
        directory = begin_sweep(self.settings)
        OmegaConf.save(self.settings, directory / "multirun.yaml")
        announce(directory, jobs)
        first = 0
        for batch in batches:
            launch(self.launcher, directory, jobs[first : first + len(batch)], batch)
            first += len(batch)
        conclude(directory)

    def _batches(self, arguments: Sequence[str]) -> list[list[list[str]]]:
        """Overrides of each job, in the order of the values."""
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # Hydra makes it anew as it begins.

        overrides = OverridesParser.create(self.loader).parse_overrides(self.given(arguments))
        return BasicSweeper.split_arguments(overrides, self.max_batch_size)


def register() -> None:
    """Have Hydra call these where its configuration names its own, and a search have our settings."""
    classes = Plugins.instance().class_name_to_class
    classes[BASIC] = Grid
    if OPTUNA in classes:
        classes[OPTUNA] = Search
        ConfigStore.instance().store("optuna", SearchSettings, group="hydra/sweeper", provider="icr")
