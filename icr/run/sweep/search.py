"""A sweep whose values Optuna proposes: those that gave a high win rate on dev prompts lead to the next ones."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from icr.errors import ConfigError
from icr.run.sweep.plan import begin_sweep, composed, conclude, launch
from icr.run.sweep.space import Space
from icr.run.sweep.sweeper import Planner
from icr.rundir.sweeps import Job, Status, is_sweep, open_sweep, write_plan

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

OPTUNA = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"
"""What the plugin calls its sweeper."""

DEV = "evaluation.split"
"""What a search is told to be `dev`, where the evaluation has splits."""


@dataclass
class SearchSettings:
    """What can be set of a search, in the place of the plugin's settings: the arguments of `Search`."""

    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, "_self_"])
    _target_: str = OPTUNA
    sampler: Any = field(default_factory=lambda: {"seed": 0})
    direction: str = "maximize"
    n_trials: int = 20
    n_jobs: int = 1
    params: dict[str, str] | None = None


class Search(Planner):
    """`hydra/sweeper=optuna`: trials of one study, which goes on from what the sweep's folder holds.

    A trial is a job. The plan and the ends of the jobs are the study's memory: a trial that has not finished is run
    again by the next call of the command, and no other, before new ones are asked for.

    Args:
        sampler: of Optuna; with a seed, what it draws depends on that and on the trial's number.
        direction: `maximize` or `minimize` what jobs return.
        n_trials: trials that the study shall have in all.
        n_jobs: trials that are proposed together; a launcher that runs jobs side by side runs them so.
        params: further arguments, by key.
    """

    def __init__(
        self, sampler: Any, direction: str, n_trials: int, n_jobs: int, params: Mapping[str, object] | None = None
    ):
        super().__init__(params)
        self.sampler = sampler
        self.direction = direction
        self.n_trials = n_trials
        self.n_jobs = n_jobs

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until the study has `n_trials`, and show what came of them.

        Raises:
            ConfigError: there is nothing to search or to look for, or the folder holds another sweep.
            Reported: a trial has not finished.
        """
        optuna = _optuna()
        if self.direction not in ("maximize", "minimize") or min(self.n_trials, self.n_jobs) < 1:
            raise ConfigError("hydra.sweeper: direction is maximize or minimize, n_trials and n_jobs are 1 or more.")
        space = self._space(arguments)
        directory = begin_sweep(self.settings)
        study = optuna.create_study(direction=self.direction)
        jobs = self._remembered(directory, space)
        done = sum(job.status is Status.FINISHED for job in jobs)
        print(f"search   {directory}: {done} of {self.n_trials} trials have finished", flush=True)
        for job in jobs:
            _add(study, space, job)
        for batch in _consecutive([job for job in jobs if job.status is not Status.FINISHED], self.n_jobs):
            for job in self._launch(directory, space, jobs, batch):
                _add(study, space, job)
        while len(jobs) < self.n_trials:
            trials = [self._ask(study, space, n) for n in range(len(jobs), self.n_trials)[: self.n_jobs]]
            batch = [
                composed(self.loader, self.settings, space.overrides(trial.params), len(jobs) + place)
                for place, trial in enumerate(trials)
            ]
            jobs = [*jobs, *batch]
            for trial, job in zip(trials, self._launch(directory, space, jobs, batch), strict=True):
                _tell(study, trial, job)
        _say_best(open_sweep(directory).jobs, space, self.direction)
        conclude(directory)

    def _launch(self, directory: Path, space: Space, jobs: Sequence[Job], batch: Sequence[Job]) -> list[Job]:
        write_plan(directory, jobs)
        return launch(self.launcher, directory, batch, [space.again(job) for job in batch])

    def _space(self, arguments: Sequence[str]) -> Space:
        from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

        choices = self.settings.hydra.runtime.choices
        if "none" in (choices.judge, choices.evaluation):
            raise ConfigError(
                "hydra/sweeper=optuna looks for the highest win rate, and these runs have none: give a judge and an "
                "evaluation, as in judge=<option> evaluation=<option>."
            )
        searched, fixed = create_params_from_overrides(self.given(arguments))
        if not searched:
            raise ConfigError(
                "hydra/sweeper=optuna has nothing to search: give an interval or choices, as in "
                "'loss.alpha=interval(0,2)' loss=dpo,kto."
            )
        if OmegaConf.select(self.settings, DEV) is not None:
            fixed = {DEV: "dev", **fixed}
        return Space(searched, fixed)

    def _remembered(self, directory: Path, space: Space) -> list[Job]:
        """Jobs that earlier calls have planned here."""
        jobs = [*open_sweep(directory).jobs] if is_sweep(directory) else []
        for job in jobs:
            if differ := space.differences(job):
                raise ConfigError(
                    f"run.dir={self.settings.run.dir} holds a sweep that differs in {', '.join(differ)}: what it has "
                    f"found says nothing about this one. Give another run.dir."
                )
        return jobs

    def _ask(self, study: Study, space: Space, number: int) -> Trial:
        """A new trial, which is the same whether or not the study was interrupted before it."""
        node = self.settings.hydra.sweeper.sampler
        seed = node.get("seed")
        study.sampler = self.sampler if seed is None else instantiate(node, seed=seed + number)
        return study.ask(dict(space.searched))


def _optuna() -> ModuleType:
    """The library, which would warn of its own insides and of what it says it may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna


def _consecutive(jobs: Sequence[Job], most: int) -> list[list[Job]]:
    """The jobs in batches, in which numbers follow one another: launchers count them so."""
    batches: list[list[Job]] = []
    for job in jobs:
        if batches and len(batches[-1]) < most and batches[-1][-1].number + 1 == job.number:
            batches[-1].append(job)
        else:
            batches.append([job])
    return batches


def _add(study: Study, space: Space, job: Job) -> None:
    """Let the study know of a finished trial of an earlier call, if it lies in what is searched now."""
    from optuna.trial import create_trial

    params = space.params(job)
    if job.status is Status.FINISHED and job.objective is not None and params is not None:
        study.add_trial(create_trial(params=params, distributions=dict(space.searched), value=job.objective))


def _tell(study: Study, trial: Trial, job: Job) -> None:
    """Let the study know what came of a trial. One without an objective says nothing, and ends no study."""
    from optuna.trial import TrialState

    if job.status is Status.FINISHED and job.objective is not None:
        study.tell(trial, job.objective)
    else:
        study.tell(trial, state=TrialState.FAIL)


def _say_best(jobs: Sequence[Job], space: Space, direction: str) -> None:
    """Print the trial with the best objective, if there is one."""
    sign = 1 if direction == "maximize" else -1
    found = [(sign * job.objective, job) for job in jobs if job.objective is not None]
    if found:
        best = max(found, key=lambda pair: pair[0])[1]
        values = " ".join(f"{key}={best.overrides[key]}" for key in space.searched)
        print(f"best     job {best.number}, {best.objective:.1f} % on dev prompts: {values}", flush=True)
