"""`python -m icr.run`: compose → check → rounds → report."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import torch
import transformers
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from icr import config, launch, world
from icr.errors import ConfigError, ICRError, Reported
from icr.explain import composition_error, system_error
from icr.pipeline import Pipeline
from icr.report.page import write_report
from icr.report.tables import print_tables
from icr.report.tracking import CsvTracking, NoTracking
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
        composed = {name: _control(overrides) for name, overrides in settings.controls.items()}
        controls = {name: config.build(control) for name, control in composed.items()}
        processes = launch.processes(settings.training)
        _check_world()
    except ConfigError:
        with contextlib.suppress(OSError):
            directory.rmdir()  # Hydra's, and still empty: nothing has been run.
        raise
    with launch.joined(settings.training.settings):
        _record(directory, cfg, settings)
        for name, control in composed.items():
            _record(directory / "controls" / name, control, controls[name])
        if processes > 1:
            launch.start(directory, processes, settings.training.settings)
        else:
            conduct(directory, settings, controls)
        if world.rank():
            return None
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    page = write_report(directory)
    print_tables(summary, Console())
    print(f"report   {page}\nmodels   {directory}/round_*/model\nall else {directory}")
    result = settings.stage.result.format(round=settings.iterations - 1)
    return summary["models"].get(result, {}).get("win_rate", {}).get("mean")


def conduct(directory: Path, settings: config.Settings, controls: Mapping[str, config.Settings]) -> None:
    """The run and its controls, to `summary.json`. In a world of several processes, all of them call this."""
    store = RunDirectory(directory, settings.compared)
    tracking = settings.tracking(directory) if world.rank() == 0 else NoTracking()
    summary = execute(settings, store, tracking)
    for name, control in controls.items():
        log.info("control %s: %s", name, " ".join(settings.controls[name]))
        folder = RunDirectory(directory / "controls" / name, control.compared)
        result = execute(control, folder, CsvTracking(folder.path) if world.rank() == 0 else NoTracking())
        label = name.replace("_", " ")
        summary["models"] |= {f"control: {label} {model}": figures for model, figures in result["models"].items()}
    if world.rank() == 0:
        write_json(directory / "summary.json", summary)
        tracking.finish(summary)


def execute(settings: config.Settings, store: RunDirectory, tracking: Any) -> dict:
    """Run the pipeline in the run directory and return its summary."""
    started = time.perf_counter()
    if threads := settings.training.settings.threads:
        torch.set_num_threads(threads)
    log.info("run directory: %s", store.path)
    log.info("reward pair: policy %s, reference %s", settings.reward_pair.policy, settings.reward_pair.reference)
    pipeline = Pipeline(settings, store, tracking.loggers, launch.device_of(settings.training.settings))
    figures = pipeline.run()
    accuracy = pipeline.reward_accuracy()
    if world.rank() == 0:
        write_metrics(store)
    summary = summarise(settings, store, figures, accuracy, pipeline.skipped())
    log.info("done in %.0f s", time.perf_counter() - started)
    return summary


def quiet() -> None:
    """Our own log lines on the terminal, and nobody else's chatter."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("icr").setLevel(logging.INFO)
    logging.getLogger("hydra").setLevel(logging.CRITICAL)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    transformers.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # It misses kernels that a CPU can do without.
    # Pairs are collated in microseconds: loader workers would cost more than they save.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # optim=paged_adamw8bit where there is nothing to page.
    warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU.*")
    # Between two of Lightning's own dependencies.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")


def report(error: Exception, job: str = "") -> None:
    """One paragraph on standard error; of a configuration that all processes of a world refuse, one in all."""
    started = launch.environment()
    if isinstance(error, ConfigError) and started and started.global_rank():
        return
    text = system_error(error) if isinstance(error, OSError) else str(error)
    print(f"icr: {job}{': ' if job else ''}{text}", file=sys.stderr)


def explain(error: Exception) -> str:
    """A composition error as one paragraph, with the nearest valid key or option."""
    conf = config.conf_dir()
    chosen = [text for text in sys.argv[1:] if "=" in text and (conf / text.partition("=")[0]).is_dir()]
    return composition_error(error, conf, chosen, lambda: all_keys(chosen))


def all_keys(chosen: Sequence[str] = ()) -> list[str]:
    """Every key of the configuration, dotted, with the groups as chosen."""
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        try:
            cfg = hydra.compose("config", chosen)
        except HydraException:
            cfg = hydra.compose("config")
        return [key for key, _ in config.nodes(cfg)]


def _record(directory: Path, cfg: DictConfig, settings: config.Settings) -> None:
    """Keep the configuration in the run directory, unless that holds a run with another."""
    RunDirectory(directory, settings.compared)
    if world.rank() == 0:
        (directory / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")


def _check_world() -> None:
    """Several processes that run this command have to mean one run."""
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    if not (found := launch.environment()) or (sweeping and not launch.by_torchrun(found)):
        return  # A sweep's launcher has given all tasks of a job one directory.
    if sweeping:
        raise ConfigError("torchrun cannot start a sweep: start each job with a command of its own.")
    if not any(override.startswith("run.dir=") for override in HydraConfig.get().overrides.task):
        raise ConfigError("Under torchrun or srun, give run.dir=<folder that all nodes share>, so that it is one run.")


def _control(overrides: Sequence[str]) -> DictConfig:
    """A run with these overrides that evaluates its own models alone: the main run has measured all else."""
    control = hydra.compose("config", [*HydraConfig.get().overrides.task, "controls=none", *overrides])
    with open_dict(control):
        control.stage.baselines = {}
        if "reward_prompts" in control.evaluation:
            control.evaluation.reward_prompts = {}
    return control


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and turn what the user can put right into a paragraph on standard error."""
    if arguments is not None:
        sys.argv[1:] = arguments
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except HydraException as error:
        print(f"icr: {explain(error)}", file=sys.stderr)
        return 2
    except ValueError as error:
        if "Config group override" not in str(error):
            raise
        print(f"icr: {explain(error)}", file=sys.stderr)
        return 2
    except Reported:
        return 2
    except OSError as error:
        report(error)
        return 2
    except KeyboardInterrupt:
        print("icr: stopped. The same command on the same run.dir goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
