"""What a search searches, and what it holds fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icr.run.sweep.plan import OWN
from icr.rundir.sweeps import Job

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Space:
    """What the arguments of a search say.

    Attributes:
        searched: distribution of each key that has an interval, a range or choices.
        fixed: value of every other key.
    """

    searched: Mapping[str, BaseDistribution]
    fixed: Mapping[str, str]

    def overrides(self, values: Mapping[str, object]) -> list[str]:
        """The overrides of a job with these values of the searched keys."""
        return [f"{key}={value}" for key, value in {**values, **self.fixed}.items()]

    def again(self, job: Job) -> list[str]:
        """The overrides of a job that is planned."""
        return self.overrides({key: job.overrides[key] for key in self.searched})

    def differences(self, job: Job) -> list[str]:
        """Keys that are fixed or searched otherwise in a job."""
        mine = {key: value for key, value in self.fixed.items() if key not in OWN}
        its = {key: value for key, value in job.overrides.items() if key not in self.searched}
        lacking = [key for key in self.searched if key not in job.overrides]
        return sorted({*lacking, *(key for key in {**mine, **its} if mine.get(key) != its.get(key))})

    def params(self, job: Job) -> dict[str, Any] | None:
        """The job's values as Optuna has them; None where one is not among those that are searched."""
        values = {key: _value(distribution, job.overrides[key]) for key, distribution in self.searched.items()}
        return None if None in values.values() else values


def _value(distribution: BaseDistribution, text: str) -> Any:
    """A value from its text in an override; None where the distribution does not have it."""
    from optuna.distributions import CategoricalDistribution

    if isinstance(distribution, CategoricalDistribution):
        return next((choice for choice in distribution.choices if str(choice) == text), None)
    value = distribution.to_external_repr(float(text))
    return value if distribution._contains(distribution.to_internal_repr(value)) else None
