"""Which tasks of lm-evaluation-harness stand for a benchmark in each language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from icr.errors import ConfigError, near

Suites = Mapping[str, Mapping[str, Mapping[str, str]]]
"""`[suite][benchmark][language]`: the task's name in lm-eval."""

LANGUAGE = "{language}"


@dataclass(frozen=True)
class HarnessTask:
    """A task of lm-eval, or a group of them.

    Attributes:
        benchmark: what it is called in tables, such as `arc`.
        language: code; None where it is of no one language.
        spec: the name that lm-eval knows it by, or the path of a YAML file.
    """

    benchmark: str
    language: str | None
    spec: str

    @property
    def is_file(self) -> bool:
        """Whether a YAML file describes it."""
        return is_file(self.spec)


def is_file(spec: str) -> bool:
    """Whether it is the path of a YAML file, by its name."""
    return spec.endswith((".yaml", ".yml"))


def tasks_of(
    asked: Sequence[str], suites: Suites, languages: Sequence[str], exists: Callable[[str], bool]
) -> tuple[list[HarnessTask], dict[str, dict[str, int]]]:
    """The tasks that were asked for, and how many of them a language does not have.

    Args:
        asked: suites; names and YAML files of tasks, in which `{language}` stands for each language's code.
        suites: by name.
        languages: codes.
        exists: whether lm-eval knows a name, or a file is there.

    Returns:
        The tasks in order, each once, and what is missing as `[language][reason]`.

    Raises:
        ConfigError: lm-eval has no such task, in any of the languages; or none is left.
    """
    found: dict[HarnessTask, None] = {}
    missing: dict[str, dict[str, int]] = {}
    for one in asked:
        table = suites.get(one) or {_benchmark(one): _by_language(one, languages, exists)}
        for benchmark, names in table.items():
            if LANGUAGE not in one and one not in suites:
                found[HarnessTask(benchmark, None, one)] = None
                continue
            for language in languages:
                if language in names:
                    found[HarnessTask(benchmark, language, names[language])] = None
                else:
                    missing.setdefault(language, {})[f"no task of {benchmark}"] = 1
    for task in found:
        if not exists(task.spec):
            raise ConfigError(_unknown(task, suites))
    if not found:
        raise ConfigError(
            f"tasks={list(asked)}: lm-eval has none of them in {', '.join(languages)}. Choose among the suites "
            f"{', '.join(suites)}, or name tasks of lm-eval."
        )
    _check_names(list(found))
    return list(found), missing


def _by_language(spec: str, languages: Sequence[str], exists: Callable[[str], bool]) -> dict[str, str]:
    names = {language: spec.replace(LANGUAGE, language) for language in languages}
    return {language: name for language, name in names.items() if exists(name)}


def _benchmark(spec: str) -> str:
    """`copy` of `tasks/copy_{language}.yaml`."""
    name = Path(spec).stem if is_file(spec) else spec
    return name.replace(f"_{LANGUAGE}", "").replace(LANGUAGE, "").strip("_-. ") or name


def _unknown(task: HarnessTask, suites: Suites) -> str:
    if task.is_file:
        return f"tasks: there is no file {task.spec}."
    hint = near(task.spec, suites)
    return (
        f"tasks: lm-eval has no task {task.spec!r}, and there is no suite of this name.{hint} Suites: "
        f"{', '.join(suites)}; `lm-eval ls tasks` lists the tasks; files end with .yaml."
    )


def _check_names(tasks: Sequence[HarnessTask]) -> None:
    """Two tasks that would stand in one place of the table are one too many."""
    places: dict[tuple[str, str | None], str] = {}
    for task in tasks:
        other = places.setdefault((task.benchmark, task.language), task.spec)
        if other != task.spec:
            raise ConfigError(
                f"tasks: {other} and {task.spec} are both called {task.benchmark!r} in tables: measure them one after "
                f"the other, in directories of their own."
            )
