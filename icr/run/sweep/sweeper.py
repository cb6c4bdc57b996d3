"""What a sweeper of ours has from Hydra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Planner(Sweeper):
    """Knows its jobs before they run, and gives them to the launcher that is chosen.

    Args:
        params: arguments by key, before those of the command line.

    Attributes:
        settings: of the whole sweep, with Hydra's own.
        loader: composes jobs.
        launcher: runs them.
    """

    settings: DictConfig
    loader: ConfigLoader
    launcher: Launcher

    def __init__(self, params: Mapping[str, object] | None):
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.config = self.settings = config
        self.loader = hydra_context.config_loader
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def given(self, arguments: Sequence[str]) -> list[str]:
        """All arguments of the sweep."""
        return [*(f"{key}={value!s}" for key, value in self.params.items()), *arguments]
