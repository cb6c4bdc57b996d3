"""The benchmark `lm_eval`: what alignment has cost, by tasks of lm-evaluation-harness."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import ClassVar

from icr.checks import require_counts
from icr.evaluation.benchmark import Bench, Setting, StageParts, Subject
from icr.evaluation.harness import harness
from icr.evaluation.harness.differences import differences
from icr.evaluation.harness.harness import Asked, Harness, Loaded, TaskResult
from icr.evaluation.harness.tasks import HarnessTask, Suites, tasks_of
from icr.evaluation.win_rate import with_mean, with_mean_error
from icr.models import LoadedModel
from icr.rundir.benchmarks import harness_stage
from icr.rundir.measured import Figures, Result


@dataclass(frozen=True)
class LMEval:
    """Tasks of lm-evaluation-harness, put to each model as it is loaded for evaluation.

    Raises:
        ValueError: a number is no count, or no task is asked for.
    """

    tasks: Sequence[str]
    """Suites; tasks and groups of lm-eval; YAML files of tasks. `{language}` stands for each language's code."""
    suites: Suites = field(default_factory=dict, compare=False)
    """`[suite][benchmark][language]`: names of tasks in lm-eval."""
    num_fewshot: int | None = None
    """Solved examples before each question; None leaves it to the task."""
    limit: int | None = None
    """The first so many documents of each task, for a trial; None takes all."""
    chat_template: bool = False
    """Whether questions are put as a user's turn in the chat template; lm-eval's own default is not to."""
    batch_size: int = field(default=8, compare=False)
    """Sequences at a time."""

    name: ClassVar[str] = "lm_eval"

    def __post_init__(self) -> None:
        require_counts(self, "batch_size")
        if self.limit is not None:
            require_counts(self, "limit", otherwise="or null")
        if self.num_fewshot is not None and not (type(self.num_fewshot) is int and self.num_fewshot >= 0):
            raise ValueError(f"num_fewshot must be a whole number of at least 0, or null; got {self.num_fewshot!r}")
        if not self.tasks:
            raise ValueError(f"tasks must not be empty: name suites ({', '.join(self.suites)}), tasks or files")

    def require(self) -> None:
        """Refuse a machine without lm_eval.

        Raises:
            ConfigError: it is missing.
        """
        harness.require()

    def open(self, setting: Setting) -> OpenLMEval:
        """Load the tasks with their data.

        Raises:
            ConfigError: there is no such task.
            DataError: a task's data are not to be had.
        """
        specs = [spec for one in self.tasks for spec in (_names(self.suites, one) or [one])]
        runner = Harness(specs)
        asked = Asked(self.num_fewshot, self.limit, self.chat_template)
        tasks, skipped = tasks_of(self.tasks, self.suites, setting.languages, runner.exists)
        loaded = {task: runner.load(task.spec, asked) for task in tasks}
        return OpenLMEval(self, asked, runner, loaded, skipped, setting.languages)


def _names(suites: Suites, suite: str) -> list[str]:
    return [name for names in suites.get(suite, {}).values() for name in names.values()]


@dataclass(frozen=True)
class OpenLMEval:
    """`LMEval` with its tasks loaded.

    Attributes:
        settings: of the benchmark.
        asked: how tasks are put.
        harness: runs them.
        tasks: by what they stand for.
        skipped: benchmarks that a language has no task of.
        languages: codes, in the order of tables.
        found: `[model][task]`.
    """

    settings: LMEval
    asked: Asked
    harness: Harness
    tasks: Mapping[HarnessTask, Loaded]
    skipped: Mapping[str, Mapping[str, int]]
    languages: Sequence[str]
    found: dict[str, dict[HarnessTask, TaskResult]] = field(default_factory=dict)

    def stages(self, subject: Subject) -> list[StageParts]:
        """One per task, so that more tasks may be asked for later; none where there is no model."""
        if subject.path is None:
            return []
        settings = {"benchmark": vars(self.asked) | {"lm_eval": self.harness.version}}
        return [
            StageParts(harness_stage(loaded.name, subject.name), settings, {"task": loaded.content}, loads=True)
            for loaded in self.tasks.values()
        ]

    def measure(self, subject: Subject, bench: Bench) -> None:
        """Put all tasks to the model, which is loaded where one is not measured yet."""
        if subject.path is None:
            return
        load = cache(bench.load(subject.path))

        def document(loaded: Loaded) -> TaskResult:
            make = partial(self._put, loaded, load)
            found: TaskResult = bench.store.json(harness_stage(loaded.name, subject.name), make)
            return found

        self.found[subject.name] = {task: document(loaded) for task, loaded in self.tasks.items()}

    def result(self, baseline: str | None = None) -> Result:
        """Figures of every model: `<benchmark>/<metric>` in lm-eval's unit, its standard error, and documents."""
        figures = {model: self._figures(found) for model, found in self.found.items()}
        return Result(figures, differences(self.found, baseline), self._notes())

    def _put(self, loaded: Loaded, load: Callable[[], LoadedModel]) -> TaskResult:
        return self.harness.measure(loaded, load(), self.asked, self.settings.batch_size)

    def _figures(self, found: Mapping[HarnessTask, TaskResult]) -> Figures:
        figures: Figures = {}
        for benchmark in dict.fromkeys(task.benchmark for task in found):
            by_language = {task.language: result for task, result in found.items() if task.benchmark == benchmark}
            for metric in dict.fromkeys(name for result in by_language.values() for name in result["metrics"]):
                there = {code: row["metrics"][metric] for code, row in by_language.items() if metric in row["metrics"]}
                values = {code: one["value"] for code, one in there.items()}
                errors = {code: math.nan if one["stderr"] is None else one["stderr"] for code, one in there.items()}
                figures[f"{benchmark}/{metric}"] = self._ordered(values, with_mean)
                figures[f"{benchmark}/{metric}_se"] = self._ordered(errors, with_mean_error)
            documents = {code: float(row["documents"]) for code, row in by_language.items()}
            figures[f"{benchmark}/documents"] = self._ordered(documents, with_mean)
        return figures

    def _ordered(
        self, values: Mapping[str | None, float], mean: Callable[[Mapping[str, float]], dict[str, float]]
    ) -> dict[str, float]:
        """By language, in the order of tables; what is of no one language stands under `mean`."""
        if None in values:
            return {"mean": values[None]}
        return mean({code: values[code] for code in self.languages if code in values})

    def _notes(self) -> list[str]:
        settings = self.settings
        shots = "the tasks' own number of" if settings.num_fewshot is None else f"{settings.num_fewshot}"
        how = f"{shots} solved examples, {'with' if settings.chat_template else 'without'} the chat template"
        what = "all documents" if settings.limit is None else f"the first {settings.limit} documents of each task"
        notes = [f"lm_eval {self.harness.version}, {how}, {what}."]
        results = list(next(iter(self.found.values()), {}).values())
        if results:
            notes.append("Tasks: " + ", ".join(f"{row['task']} (version {row['version']})" for row in results) + ".")
        for language, reasons in self.skipped.items():
            notes.append(f"{language}: {', '.join(reasons)}; means are over the other languages.")
        if alone := [task.spec for task in self.tasks if task.language is None]:
            notes.append(f"Of no one language, and under mean: {', '.join(alone)}.")
        return notes
