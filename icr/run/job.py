"""One job of `icr run`: a composed configuration, checked, run with its controls, and reported."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from rich.console import Console

from icr import config, distributed, rundir
from icr.config.command import as_overrides, config_text
from icr.config.recorded import recorded, write_overrides
from icr.errors import ConfigError, RunError, one_line
from icr.launch import processes as launch
from icr.pipeline import Pipeline
from icr.report.page import write_report
from icr.report.tables import print_tables
from icr.rundir import Layout, Summary, atomic, open_run
from icr.rundir.layout import check_apart
from icr.rundir.summary import count_rounds, summarise
from icr.terminal import Exit
from icr.tracking import CsvTracking, NoTracking, Tracker, about, accuracy_figures, write_metrics

log = logging.getLogger("icr.run")


def job(cfg: DictConfig) -> float | None:
    """Check, run, control, report."""
    directory = Path(HydraConfig.get().runtime.output_dir)
    try:
        settings = config.build(cfg)
        composed = {name: _control(name, overrides) for name, overrides in settings.controls.items()}
        controls = {name: config.build(control) for name, control in composed.items()}
        processes = launch.processes(settings.training)
        _check_launcher()
        check_apart(directory)
    except (ConfigError, RunError):
        with contextlib.suppress(OSError):
            if not directory.samefile(Path.cwd()):
                directory.rmdir()  # Hydra's, and still empty: nothing has been run.
        if (started := launch.environment()) and started.global_rank():
            raise SystemExit(Exit.MISTAKE) from None  # All processes refuse it, and the first one says so.
        raise
    with launch.joined(settings.trainer):
        first = distributed.rank() == 0
        with rundir.held(directory) if first else contextlib.nullcontext():
            pipelines = prepared(directory, settings, controls)
            for (name, pipeline), chosen in zip(pipelines.items(), [cfg, *composed.values()], strict=True):
                _record(pipeline, chosen, settings.controls.get(name, []))
            if processes == 1:
                run_with_controls(directory, pipelines)
            else:
                launch.start(directory, processes, settings.trainer)
        return _reported(directory, settings) if first else None


def _reported(directory: Path, settings: config.Settings) -> float | None:
    """Write the page, print the tables; returns the last model's mean win rate, where there is one."""
    run = open_run(directory)
    page = write_report(directory)
    print_tables(run.summary, Console())
    print(f"report   {page}\nmodels   {run.layout.models}\nall else {directory}")
    result = run.summary.model(settings.stage.result.format(round=settings.iterations - 1))
    win_rate = result.figure("win_rate") if result else math.nan
    return win_rate if math.isfinite(win_rate) else None


def prepared(
    directory: Path, settings: config.Settings, controls: Mapping[str, config.Settings]
) -> dict[str, Pipeline]:
    """The run (under `""`) and its controls by name, each with its directory opened: no weights are loaded yet.

    Raises:
        ICRError: models, data or a directory cannot be used.
    """
    device = launch.device_of(settings.trainer)
    own = {name: Pipeline(chosen, Layout(directory).control(name).path, device) for name, chosen in controls.items()}
    return {"": Pipeline(settings, directory, device), **own}


def run_with_controls(directory: Path, pipelines: Mapping[str, Pipeline]) -> None:
    """The run and its controls, to `summary.json`. In a run of several processes, all of them call this."""
    # What imports have made stays; looking through it anew before every model would take a third of a second each.
    gc.collect()
    gc.freeze()
    settings = pipelines[""].settings
    tracking = settings.logger(directory) if distributed.rank() == 0 else NoTracking()
    tracking.begin(about(directory))
    try:
        tracking.finish(_executed(pipelines, tracking))
    except BaseException:
        tracking.abort()
        raise


def _executed(pipelines: Mapping[str, Pipeline], tracking: Tracker) -> Summary:
    """The summary of the run and its controls, which is in its file, too."""
    settings = pipelines[""].settings
    summary = execute(pipelines[""], tracking)
    for name, pipeline in pipelines.items():
        if not name:
            continue
        log.info("control %s: %s", name, " ".join(settings.controls[name]))
        own = CsvTracking(pipeline.directory) if distributed.rank() == 0 else NoTracking()
        summary = summary.with_control(name, execute(pipeline, own))
    if distributed.rank() == 0:
        store = pipelines[""].store
        store.keep(store.layout.summary, lambda path: atomic.write_json(path, summary.as_json()))
    return summary


def execute(pipeline: Pipeline, tracking: Tracker) -> Summary:
    """Run the pipeline and return its summary.

    Args:
        tracking: has begun.
    """
    started = time.perf_counter()
    settings, store = pipeline.settings, pipeline.store
    if threads := settings.trainer.threads:
        torch.set_num_threads(threads)
    log.info("run directory: %s", store.path)
    log.info("reward pair: policy %s, reference %s", settings.reward_pair.policy, settings.reward_pair.reference)
    models = pipeline.run(tracking)
    accuracy = pipeline.reward_accuracy()
    tracking.measured(accuracy_figures(accuracy), 0)
    layout = Layout(store.path)
    if distributed.rank() == 0:
        write_metrics(layout.path, store.keep)
    summary = summarise(
        stage=settings.stage.name,
        seed=settings.seed,
        iterations=settings.iterations,
        languages=settings.langs.codes,
        reward_pair={"policy": settings.reward_pair.policy, "reference": settings.reward_pair.reference},
        models=models,
        reward_accuracy=accuracy,
        skipped_prompts=pipeline.skipped,
        rounds=count_rounds(layout, range(settings.iterations)),
        seconds=store.seconds,
    )
    log.info("done in %.0f s", time.perf_counter() - started)
    return summary


def _record(pipeline: Pipeline, cfg: DictConfig, control: Sequence[str]) -> None:
    """Keep the configuration in the run directory, and what it was composed of."""
    store, text = pipeline.store, config_text(cfg)
    store.keep(store.layout.config, lambda path: path.write_text(text, encoding="utf-8"))
    hydra_config = HydraConfig.get()
    given = recorded(hydra_config.runtime.choices, hydra_config.overrides.task, as_overrides(control))
    store.keep(store.layout.overrides, lambda path: write_overrides(path, given))


def _check_launcher() -> None:
    """Several processes that run this command have to mean one run."""
    if not launch.environment() or HydraConfig.get().mode == RunMode.MULTIRUN:
        return  # A sweep's launcher has given all tasks of a job one directory.
    if not any(override.startswith("run.dir=") for override in HydraConfig.get().overrides.task):
        raise ConfigError("Under torchrun or srun, give run.dir=<folder that all nodes share>, so that it is one run.")


def _control(name: str, overrides: Sequence[str]) -> DictConfig:
    """A run with these overrides that evaluates its own models alone: the main run has measured all else."""
    given = [*HydraConfig.get().overrides.task, "controls=none", *as_overrides(overrides)]
    try:
        control = hydra.compose("config", given)
    except HydraException as error:
        raise ConfigError(f"controls.{name}: {one_line(error)}") from error
    with open_dict(control):
        control.stage.baselines = {}
        if "reward_prompts" in control.evaluation:
            control.evaluation.reward_prompts = {}
    return control
