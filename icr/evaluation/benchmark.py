"""What models are measured by. Config group `benchmark` of `icr evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Protocol

from icr.judges import ReferenceAnswers
from icr.models import LoadedModel, Loader
from icr.rundir import RunDirectory
from icr.rundir.measured import Result
from icr.sampling import Sampler
from icr.types import PromptSet


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        name: in tables and of its stages.
        path: of a model, a folder or a hub name; None where answers are given instead.
        answers: answers that someone else has generated; None where the model is there.
    """

    name: str
    path: str | None = None
    answers: ReferenceAnswers | None = None


@dataclass(frozen=True)
class Setting:
    """What a benchmark may look at before any model is loaded.

    Attributes:
        languages: codes, in the order of tables.
        sampler: of the configuration, whose decoding a benchmark may replace.
        usable: given prompts and the longest response, those that every model takes, and the count of the others.
        loader: loads the models.
        models: paths of those that are measured; none where a run has still to make them.
    """

    languages: Sequence[str]
    sampler: Sampler
    usable: Callable[[PromptSet, int], PromptSet]
    loader: Loader
    models: Sequence[str] = ()


@dataclass(frozen=True)
class Bench:
    """Where models are measured.

    Attributes:
        store: holds the stages.
        loader: loads the models.
        device: on which.
        seed: of the run.
    """

    store: RunDirectory
    loader: Loader
    device: str
    seed: int

    def load(self, path: str) -> Callable[[], LoadedModel]:
        """What loads a model when it is called."""
        return partial(self.loader.load, path, self.device)


@dataclass(frozen=True)
class StageParts:
    """What a stage of a benchmark depends on; `icr.keys` makes its key of it.

    Attributes:
        name: of the stage.
        settings: by their names in `conf/`; a `seed` of their own stands for the run's.
        content: hashes of what it is made of from outside, by name.
        after: stages that it is made of, by name.
        loads: whether the model itself makes it: its key then has the model, how it is loaded, and the seed.
        seeded: whether that seed counts, as it does where something is drawn.
        path: of another model that makes it in the place of the one that is measured.
    """

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    content: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    loads: bool = False
    seeded: bool = True
    path: str | None = None


class OpenBenchmark(Protocol):
    """A benchmark with its data read and checked.

    Attributes:
        skipped: what was left out, `[language][reason]`.
    """

    @property
    def skipped(self) -> Mapping[str, Mapping[str, int]]: ...

    def stages(self, subject: Subject) -> list[StageParts]:
        """The stages in which the subject is measured, in order; none where it cannot be: there is no model."""

    def measure(self, subject: Subject, bench: Bench) -> None:
        """Make these stages, or read them back."""

    def result(self, baseline: str | None = None) -> Result:
        """Figures of all that was measured.

        Args:
            baseline: name of the model that the others are compared with; None compares all with all.
        """


class Benchmark(Protocol):
    """Settings of a benchmark.

    Attributes:
        name: of its results.
    """

    name: ClassVar[str]

    def require(self) -> None:
        """Refuse a machine that lacks what it needs, such as a package or a key.

        Raises:
            ConfigError: naming what is missing.
        """

    def open(self, setting: Setting) -> OpenBenchmark:
        """Read the data, and refuse what cannot work: files, languages.

        Raises:
            ICRError: naming what is to be put right.
        """
