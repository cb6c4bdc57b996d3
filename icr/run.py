"""`python -m icr.run`: compose → check → rounds → report."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from icr import config
from icr.command_line import quiet, report, run_app
from icr.errors import ConfigError, ICRError, Reported
from icr.pipeline import Pipeline
from icr.report.page import write_report
from icr.report.tables import print_tables
from icr.report.tracking import CsvTracking
from icr.rounds.store import RunDirectory, write_json
from icr.summary import summarise, write_metrics

log = logging.getLogger("icr.run")


@hydra.main(version_base="1.3", config_path=str(config.conf_dir()), config_name="config")
def app(cfg: DictConfig) -> float | None:
    """One job: a run in its own directory. Returns the last model's mean win rate, where there is a judge."""
    quiet()
    try:
        return job(cfg)
    except (ICRError, OSError) as error:
        if os.environ.get("ICR_TRACEBACK"):
            raise
        name = HydraConfig.get().job.override_dirname if HydraConfig.get().mode == RunMode.MULTIRUN else ""
        report(error, name)
        if name:
            raise Reported(name) from error  # Only now: a sweep's other jobs go on.
        raise SystemExit(2) from error


def job(cfg: DictConfig) -> float | None:
    """Check, run, control, report."""
    directory = Path(HydraConfig.get().runtime.output_dir)
    try:
        settings = config.build(cfg)
        controls = {name: _control(overrides) for name, overrides in settings.controls.items()}
    except ConfigError:
        with contextlib.suppress(OSError):
            directory.rmdir()  # Hydra's, and still empty: nothing has been run.
        raise
    store = RunDirectory(directory, settings.compared)
    tracking = settings.tracking(directory)
    summary = execute(cfg, settings, store, tracking)
    for name, (control, checked) in controls.items():
        log.info("control %s: %s", name, " ".join(settings.controls[name]))
        folder = RunDirectory(directory / "controls" / name, checked.compared)
        result = execute(control, checked, folder, CsvTracking(folder.path))
        label = name.replace("_", " ")
        summary["models"] |= {f"control: {label} {model}": figures for model, figures in result["models"].items()}
    write_json(directory / "summary.json", summary)
    tracking.finish(summary)
    page = write_report(directory)
    print_tables(summary, Console())
    print(f"report   {page}\nmodels   {directory}/round_*/model\nall else {directory}")
    result = settings.stage.result.format(round=settings.iterations - 1)
    return summary["models"].get(result, {}).get("win_rate", {}).get("mean")


def execute(cfg: DictConfig, settings: config.Settings, store: RunDirectory, tracking: Any) -> dict:
    """Run the pipeline in the run directory and return its summary."""
    started = time.perf_counter()
    (store.path / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")
    if threads := settings.training.settings.threads:
        torch.set_num_threads(threads)
    log.info("run directory: %s", store.path)
    log.info("reward pair: policy %s, reference %s", settings.reward_pair.policy, settings.reward_pair.reference)
    pipeline = Pipeline(settings, store, tracking.loggers, device_of(settings))
    figures = pipeline.run()
    accuracy = pipeline.reward_accuracy()
    write_metrics(store)
    summary = summarise(settings, store, figures, accuracy, pipeline.skipped())
    log.info("done in %.0f s", time.perf_counter() - started)
    return summary


def device_of(settings: config.Settings) -> str:
    """Where models are loaded: the trainer's accelerator, if there is one."""
    if settings.training.settings.accelerator == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return "cuda"


def _control(overrides: Sequence[str]) -> tuple[DictConfig, config.Settings]:
    """A run with these overrides that evaluates its own models alone: the main run has measured all else."""
    control = hydra.compose("config", [*HydraConfig.get().overrides.task, "controls=none", *overrides])
    with open_dict(control):
        control.stage.baselines = {}
        if "reward_prompts" in control.evaluation:
            control.evaluation.reward_prompts = {}
    return control, config.build(control)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and turn what the user can put right into a paragraph on standard error."""
    if arguments is not None:
        sys.argv[1:] = arguments
    return run_app(app, stopped="stopped. The same command on the same run.dir goes on from here.")


if __name__ == "__main__":
    sys.exit(main())
