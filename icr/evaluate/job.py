"""One job of `icr evaluate`: models are found, measured one after another, and shown side by side."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from icr import config, rundir
from icr.config import Measurement
from icr.data.context import usable_prompts
from icr.errors import ConfigError, ICRError, RunError, near
from icr.evaluation import AnswerFiles, Bench, Setting, Subject
from icr.keys import loading, of_stages
from icr.launch import processes as launch
from icr.models.configuration import context_length
from icr.models.folder import base_of, check_exists
from icr.models.gguf import refuse_gguf
from icr.models.whole import check_files
from icr.report.leaderboard import headline, print_leaderboard, write_leaderboard
from icr.rundir import Key, Layout, RunDirectory, atomic, fingerprint, open_run
from icr.rundir.files import read_json
from icr.rundir.layout import check_apart
from icr.rundir.measured import Measured, Result
from icr.rundir.summary import LIBRARIES
from icr.types import PromptSet

log = logging.getLogger("icr.evaluate")


def job(cfg: DictConfig) -> None:
    """Check, measure, show."""
    directory = Path(HydraConfig.get().runtime.output_dir)
    try:
        settings = config.build_evaluation(cfg)
        if not settings.evaluate.run:
            check_apart(directory)
        evaluation = Evaluation(settings, directory, launch.device_of(settings.trainer))
    except ICRError:
        with contextlib.suppress(OSError):
            directory.rmdir()  # Hydra's, and still empty: nothing has been measured.
        raise
    with rundir.held(directory):
        text = OmegaConf.to_yaml(cfg)
        evaluation.store.keep(evaluation.layout.config, lambda path: path.write_text(text, encoding="utf-8"))
        measured = evaluation.run()
        page = write_leaderboard(directory)
    print_leaderboard(measured, Console())
    print(f"{headline(measured)}\npage     {page}\nall else {directory}")


@dataclass
class Evaluation:
    """Models, and the benchmark that measures them.

    Making one reads tokenizers, data and what is in the directory, and refuses what does not fit; no weights.

    Attributes:
        settings: the checked configuration.
        directory: where everything goes.
        device: where models are loaded.

    Raises:
        ICRError: a model, the data, the judge or the directory cannot be used.
    """

    settings: Measurement
    directory: Path
    device: str

    def __post_init__(self) -> None:
        settings = self.settings
        self.layout = Layout(self.directory)
        for path in self._paths:
            check_exists(path)
            check_files(base_of(path) or path)
            if settings.sampling.tokens_per_batch is None:
                refuse_gguf(base_of(path) or path, "Sampling by vLLM")
        if self._paths:
            settings.sampling.require()
        settings.benchmark.require()
        self.benchmark = settings.benchmark.open(
            Setting(settings.langs.codes, settings.sampling, self._usable, settings.loader, self._paths)
        )
        stages = {subject.name: self.benchmark.stages(subject) for subject in self.subjects}
        self.measured = [subject for subject in self.subjects if stages[subject.name]]
        if not self.measured:
            raise ConfigError(f"benchmark={settings.benchmark.name} wants models, and only answers are given.")
        if settings.evaluate.baseline is not None:
            _check_name("baseline", settings.evaluate.baseline, [subject.name for subject in self.measured])
        self.keys: dict[str, Key] = {}
        for subject in self.measured:
            version = fingerprint.of_model(subject.path) if subject.path else ""
            own = {"seed": settings.seed, **loading(settings.loader, settings.quantisation)}
            self.keys |= of_stages(stages[subject.name], version, own)

    @cached_property
    def store(self) -> RunDirectory:
        """The directory, opened."""
        return RunDirectory(self.directory, self.keys)

    def run(self) -> Measured:
        """Measure what is not measured yet, and put it beside what other benchmarks have found here."""
        if threads := self.settings.trainer.threads:
            torch.set_num_threads(threads)
        self.store.verify()
        bench = Bench(self.store, self.settings.loader, self.device, self.settings.seed)
        for subject in self.measured:
            log.info("%s: %s", self.settings.benchmark.name, subject.name)
            self.benchmark.measure(subject, bench)
        measured = self._beside(self.benchmark.result(self.settings.evaluate.baseline))
        self.store.keep(self.layout.measured, lambda path: atomic.write_json(path, measured.as_json()))
        return measured

    @cached_property
    def subjects(self) -> list[Subject]:
        """All models and given answers, or those that are asked for."""
        chosen = self.settings.evaluate
        found = [Subject(name, path) for name, path in self._models.items()]
        found += [Subject(name, answers=AnswerFiles(files)) for name, files in chosen.answers.items()]
        names = [subject.name for subject in found]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise ConfigError(f"evaluate.answers.{doubled}: a model has this name already; give another.")
        for name in chosen.only or []:
            _check_name("only", name, names)
        return [subject for subject in found if chosen.only is None or subject.name in chosen.only]

    @cached_property
    def _models(self) -> Mapping[str, str]:
        chosen = self.settings.evaluate
        if chosen.models:
            return chosen.models
        if chosen.run:
            rounds = self._rounds(Path(chosen.run))
            if not rounds:
                raise RunError(f"{chosen.run} has no trained model yet: give its start with evaluate.models, or wait.")
            return {**self.settings.baselines, **rounds, **(self._controls(chosen.run) if chosen.controls else {})}
        return {Path(self.settings.path).name: self.settings.path} if self.settings.path else {}

    def _rounds(self, directory: Path) -> dict[str, str]:
        """The models of a run's rounds, by name."""
        run = open_run(directory)
        return {self.settings.result.format(round=number): str(run.model(number)) for number in run.trained}

    def _controls(self, run: str) -> dict[str, str]:
        """Those of its controls, such as `random_labels_M0`."""
        folders = [layout.path for layout in Layout(Path(run)).controls()]
        found = {f"{own.name}_{name}": path for own in folders for name, path in self._rounds(own).items()}
        if not found:
            raise RunError(f"evaluate.controls: {run} has no control with a trained model.")
        return found

    @cached_property
    def _paths(self) -> list[str]:
        return [subject.path for subject in self.subjects if subject.path is not None]

    def _usable(self, given: PromptSet, max_new_tokens: int) -> PromptSet:
        """The prompts that every model takes."""
        loader = self.settings.loader
        for path in self._paths:
            context, renderer = context_length(path, loader.trust_remote_code), loader.renderer(path)
            given = usable_prompts(given, renderer, [lambda p: p.text], context, max_new_tokens, f"prompts of {path}")
        return given

    def _beside(self, result: Result) -> Measured:
        document = read_json(self.layout.measured)
        try:
            before = Measured.from_json(document) if document else Measured([], {}, {})
        except (KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{self.layout.measured} is not as this version of icr writes it: delete it.") from error
        return Measured(
            languages=list(dict.fromkeys([*before.languages, *self.settings.langs.codes])),
            models={**before.models, **{subject.name: subject.path or "" for subject in self.measured}},
            results={**before.results, self.settings.benchmark.name: result},
            versions={name: importlib.metadata.version(name) for name in LIBRARIES},
        )


def _check_name(key: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise ConfigError(f"evaluate.{key}: there is no {name!r}.{near(name, names)} Names: {', '.join(names)}.")
