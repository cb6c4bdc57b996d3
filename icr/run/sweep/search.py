"""A sweep whose values Optuna proposes: those that gave a high win rate on dev prompts lead to the next ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from icr.errors import ConfigError
from icr.run.sweep.plan import OWN, announce, begin_sweep, composed, conclude, launch
from icr.run.sweep.sweeper import Planner
from icr.rundir.sweeps import Job, Status

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

DEV = "evaluation.split"
"""What a search is told to be `dev`, where the evaluation has splits."""


@dataclass(frozen=True)
class Space:
    """What the arguments of a search say.

    Attributes:
        searched: distribution of each key that has an interval, a range or choices.
        fixed: value of every other key.
    """

    searched: dict[str, BaseDistribution]
    fixed: dict[str, str]

    def overrides(self, trial: Trial) -> list[str]:
        """A trial's, as Hydra takes them."""
        return [f"{key}={value}" for key, value in {**trial.params, **self.fixed}.items()]


class Search(Planner):
    """`hydra/sweeper=optuna`: trials of one study, which lies in the sweep's folder and goes on from there.

    A trial is a job of the same number. What has not finished stays open in the study and is run again by the next call
    of the command, before new trials are asked for.

    Args:
        sampler: of Optuna; with a seed, a trial's draws depend on it and on the trial's number.
        direction: `maximize` or `minimize` what jobs return.
        storage: URL of the study's database.
        study_name: its name there.
        n_trials: trials that the study shall have in all.
        n_jobs: trials that are proposed together; a launcher that runs jobs side by side runs them so.
        params: further arguments, by key.
    """

    def __init__(
        self,
        sampler: Any,
        direction: str,
        storage: str,
        study_name: str,
        n_trials: int,
        n_jobs: int,
        params: Mapping[str, object] | None = None,
    ):
        super().__init__(params)
        self.sampler = sampler
        self.direction = direction
        self.storage = storage
        self.study_name = study_name
        self.n_trials = n_trials
        self.n_jobs = n_jobs

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until the study has `n_trials`, and show what came of them.

        Raises:
            ConfigError: there is nothing to search or to look for, or the study in the folder is another one.
            Reported: a trial has not finished.
        """
        if self.direction not in ("maximize", "minimize") or min(self.n_trials, self.n_jobs) < 1:
            raise ConfigError("hydra.sweeper: direction is maximize or minimize, n_trials and n_jobs are 1 or more.")
        space = self._space(arguments)
        directory = begin_sweep(self.settings)
        study = self._study(space)
        pending = _open(study, space)
        while batch := self._batch(study, space, pending):
            trials = [(trial.number, space.overrides(trial)) for trial in _trials(study)]
            jobs = [composed(self.loader, self.settings, overrides, number) for number, overrides in trials]
            announce(directory, jobs)
            mine = [jobs[trial.number] for trial in batch]
            ended = launch(self.launcher, directory, mine, [trials[job.number][1] for job in mine])
            for trial, job in zip(batch, ended, strict=True):
                _tell(study, trial, job)
        _say_best(study, directory)
        conclude(directory)

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

    def _study(self, space: Space) -> Study:
        """The study of the sweep's folder, begun or gone on with."""
        import optuna

        logging.getLogger("optuna").setLevel(logging.WARNING)
        study = optuna.create_study(
            storage=self.storage, study_name=self.study_name, direction=self.direction, load_if_exists=True
        )
        made = {"searched": sorted(space.searched), **{k: v for k, v in space.fixed.items() if k not in OWN}}
        before = study.user_attrs.get("settings", made)
        if before != made or study.direction.name.lower() != self.direction:
            differ = sorted(key for key in {*before, *made} if before.get(key) != made.get(key))
            raise ConfigError(
                f"run.dir={self.settings.run.dir} holds a search with other settings "
                f"({', '.join(differ or ['direction'])}): what it has found says nothing about these. Give another run.dir."
            )
        study.set_user_attr("settings", made)
        return study

    def _batch(self, study: Study, space: Space, pending: list[Trial]) -> list[Trial]:
        """The next trials: those that are open, then new ones. Launchers number jobs one after another."""
        batch: list[Trial] = []
        while len(batch) < self.n_jobs:
            if pending:
                if batch and pending[0].number != batch[-1].number + 1:
                    break
                batch.append(pending.pop(0))
                continue
            count = len(_trials(study))
            if count >= self.n_trials or (batch and batch[-1].number != count - 1):
                break
            study.sampler = self._sampler(count)
            batch.append(study.ask(space.searched))
        return batch

    def _sampler(self, number: int) -> Any:
        """The sampler for a trial, which draws the same whether or not the study was interrupted before it."""
        node = self.settings.hydra.sweeper.sampler
        if node.get("seed") is None:
            return self.sampler
        return instantiate(node, seed=node.seed + number)


def _trials(study: Study) -> list[Any]:
    return study.get_trials(deepcopy=False)


def _open(study: Study, space: Space) -> list[Trial]:
    """Trials without a result, by number."""
    from optuna.trial import Trial, TrialState

    running = [trial for trial in _trials(study) if trial.state is TrialState.RUNNING]
    trials = [Trial(study, trial._trial_id) for trial in running]
    for trial in trials:
        for key, distribution in space.searched.items():
            trial._suggest(key, distribution)  # What it was to be, or a new draw where it never came to that.
    return trials


def _tell(study: Study, trial: Trial, job: Job) -> None:
    """Let the study know what came of a trial. One that has not finished stays open, to be run again."""
    from optuna.trial import TrialState

    trial.set_user_attr("status", str(job.status))
    if job.status is not Status.FINISHED:
        return
    if job.objective is None:
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, job.objective)


def _say_best(study: Study, directory: Path) -> None:
    from optuna.trial import TrialState

    if study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        best = study.best_trial
        values = " ".join(f"{key}={value}" for key, value in best.params.items())
        print(f"best     {best.value:.1f} % on dev prompts: {values} (trial {best.number} in {directory})", flush=True)
