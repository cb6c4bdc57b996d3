"""What EleutherAI's lm-evaluation-harness (package `lm_eval`, extra `benchmarks`) is asked for, and what it answers."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import Any, TypedDict

from icr.errors import ConfigError, DataError, one_line
from icr.evaluation.harness.tasks import is_file
from icr.models import LoadedModel
from icr.rundir import fingerprint

SEEDS = {"random_seed": 0, "numpy_random_seed": 1234, "torch_random_seed": 1234, "fewshot_random_seed": 1234}
"""lm-eval's own, said here so that another version of it does not draw other examples."""


class Metric(TypedDict):
    """A figure in lm-eval's unit, and its standard error; None where it has none."""

    value: float
    stderr: float | None


class TaskResult(TypedDict):
    """What one task has found about one model.

    Attributes:
        task: its name in lm-eval.
        version: of the task, as its author counts.
        documents: that were measured.
        num_fewshot: solved examples before each.
        metrics: by name; with the filter where there is one, as in `exact_match@strict-match`.
        values: of the metrics that are means over documents, one per document, in their order.
    """

    task: str
    version: str
    documents: int
    num_fewshot: int
    metrics: dict[str, Metric]
    values: dict[str, list[float]]


@dataclass(frozen=True)
class Asked:
    """How tasks are put to models."""

    num_fewshot: int | None
    """Solved examples before each question; None leaves it to the task."""
    limit: int | None
    """The first so many documents of each task; None takes all."""
    chat_template: bool
    """Whether questions are put as a user's turn."""


@dataclass(frozen=True)
class Loaded:
    """A task with its data, or a group of tasks.

    Attributes:
        name: in lm-eval.
        item: lm-eval's object.
        leaves: the tasks that it is made of.
        content: hash of the questions: the documents, and the configuration that makes requests of them.
    """

    name: str
    item: Any
    leaves: Sequence[Any]
    content: str


def require() -> None:
    """Refuse a machine without lm_eval.

    Raises:
        ConfigError: it is missing.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise ConfigError("benchmark=lm_eval needs lm_eval, which is missing: pip install 'icr[benchmarks]'.")


class Harness:
    """lm-eval, quiet, with its index of tasks.

    Args:
        specs: names and files of tasks: the index, which takes seconds, is read where there is a name.
    """

    def __init__(self, specs: Sequence[str]):
        self.indexed = any(not is_file(spec) for spec in specs)
        self.version = importlib.metadata.version("lm_eval")

    @cached_property
    def _manager(self) -> Any:
        from lm_eval.tasks import TaskManager

        return TaskManager(include_defaults=self.indexed)

    def exists(self, spec: str) -> bool:
        """Whether there is such a file, or lm-eval knows such a name."""
        return Path(spec).is_file() if is_file(spec) else spec in self._manager.task_index

    def load(self, spec: str, asked: Asked) -> Loaded:
        """A task with its data. Relative paths in a YAML file are seen from its folder.

        Raises:
            DataError: the data are not to be had, or the file is no task.
            ConfigError: it is a tag, or a group without a figure of its own.
        """
        file = Path(spec).resolve() if is_file(spec) else None
        with _quiet(), chdir(file.parent) if file else nullcontext():
            try:
                found = self._manager.load(str(file or spec))
            except Exception as error:
                raise DataError(
                    f"tasks: lm-eval cannot load {spec} ({type(error).__name__}: {one_line(error)}). Data of its own "
                    f"tasks come from the Hugging Face hub: load them once where there is a network, with the same "
                    f"HF_HOME."
                ) from error
        groups, tasks = found["groups"], found["tasks"]
        own = [group for group in groups.values() if file or group.name == spec] or list(tasks.values())
        if len(own) > 1 and not groups:
            raise ConfigError(f"tasks: {spec} is a tag of {len(own)} tasks: name those that are to be measured.")
        if groups and not own[0].has_aggregation:
            raise ConfigError(f"tasks: the group {spec} has no figure of its own: name its tasks.")
        name = own[0].name if groups else own[0].task_name
        leaves = list(tasks.values())
        return Loaded(str(name), own[0], leaves, _content(leaves, asked))

    def measure(self, loaded: Loaded, model: LoadedModel, asked: Asked, batch_size: int) -> TaskResult:
        """Put one task to one model; adapters and models whose weights are quantised are as they are loaded."""
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        with _quiet():
            harnessed = HFLM(pretrained=model.model, tokenizer=model.renderer.tokenizer, batch_size=batch_size)
            found = simple_evaluate(
                harnessed,
                tasks=[loaded.item],
                num_fewshot=asked.num_fewshot,
                limit=asked.limit,
                apply_chat_template=asked.chat_template,
                task_manager=self._manager,
                **SEEDS,
            )
        samples = [found["n-samples"][task.task_name]["effective"] for task in loaded.leaves]
        return TaskResult(
            task=loaded.name,
            version=str(found["versions"].get(loaded.name)),
            documents=sum(samples),
            num_fewshot=max(found["n-shot"][task.task_name] for task in loaded.leaves),
            metrics=(metrics := _metrics(found["results"][loaded.name])),
            values=_values([row for task in loaded.leaves for row in found["samples"][task.task_name]], metrics),
        )


def _metrics(row: Mapping[str, object]) -> dict[str, Metric]:
    """`{"acc,none": …, "acc_stderr,none": …}` by metric."""
    found = {}
    for key, value in row.items():
        metric, comma, filter = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, (int, float)):
            continue
        stderr = row.get(f"{metric}_stderr,{filter}")
        name = metric if filter == "none" else f"{metric}@{filter}"
        found[name] = Metric(value=float(value), stderr=float(stderr) if isinstance(stderr, (int, float)) else None)
    return found


def _values(samples: Sequence[Mapping[str, Any]], metrics: Mapping[str, Metric]) -> dict[str, list[float]]:
    """What each document contributes to the metrics that are plain means of such contributions."""
    found = {}
    for name, metric in metrics.items():
        key, _, filter = name.partition("@")
        rows = [row.get(key) for row in samples if row["filter"] == (filter or "none")]
        values = [float(value) for value in rows if isinstance(value, (int, float))]
        if rows and len(values) == len(rows) and math.isclose(math.fsum(values) / len(values), metric["value"]):
            found[name] = values
    return found


def _content(tasks: Sequence[Any], asked: Asked) -> str:
    def documents(docs: Any) -> list[object]:
        return [_plain(dict(doc)) for doc in docs]

    asked_of = [documents(task.eval_docs)[: asked.limit] for task in tasks]
    shown = [documents(task.fewshot_docs()) if asked.num_fewshot else [] for task in tasks]
    return fingerprint.of_value([[_plain(task.dump_config()) for task in tasks], asked_of, shown])


def _plain(value: Any) -> Any:
    """What JSON can hold of a configuration or a document: functions by their names, other objects as their text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Errors alone: lm-eval warns of what is meant to be so, such as a model that is loaded already."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
