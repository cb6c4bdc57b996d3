"""`python -m icr.run`: compose → check → rounds → report."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
import torch
import transformers
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from icr import config
from icr.errors import ConfigError, ICRError
from icr.pipeline import Pipeline
from icr.report.page import write_report
from icr.report.tables import print_tables
from icr.rounds.store import RunDirectory, write_json
from icr.summary import summarise, write_metrics

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=str(config.conf_dir()), config_name="config")
def app(cfg: DictConfig) -> float | None:
    """One job: a run in its own directory. Returns the last model's mean win rate, where there is a judge."""
    quiet()
    try:
        return job(cfg)
    except (ICRError, OSError) as error:
        if os.environ.get("ICR_TRACEBACK"):
            raise
        print(f"icr: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def job(cfg: DictConfig) -> float | None:
    """Check, run, control, report."""
    settings = config.build(cfg)
    directory = Path(HydraConfig.get().runtime.output_dir)
    summary = execute(cfg, settings, directory)
    for name, overrides in settings.controls.items():
        control = hydra.compose("config", [*HydraConfig.get().overrides.task, "controls=none", *overrides])
        log.info("control %s: %s", name, " ".join(overrides))
        result = execute(control, config.build(control), directory / "controls" / name)
        models = {model: figures for model, figures in result["models"].items() if model not in settings.stage.baselines}
        summary["models"] |= {f"control: {name.replace('_', ' ')} {model}": figures for model, figures in models.items()}
    write_json(directory / "summary.json", summary)
    page = write_report(directory)
    print_tables(summary, Console())
    print(f"report {page}\nmodels {directory}/round_*/model\nall else {directory}")
    last = list(summary["models"].values())
    return last[-1]["win_rate"]["mean"] if last else None


def execute(cfg: DictConfig, settings: config.Settings, directory: Path) -> dict:
    """Run the pipeline in `directory` and return its summary."""
    started = time.perf_counter()
    store = RunDirectory(directory, settings.compared)
    (directory / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")
    if threads := settings.training.settings.threads:
        torch.set_num_threads(threads)
    log.info("run directory: %s", directory)
    log.info("reward pair: policy %s, reference %s", settings.reward_pair.policy, settings.reward_pair.reference)
    pipeline = Pipeline(settings, store, loggers_of(cfg, directory), device_of(settings))
    figures = pipeline.run()
    accuracy = pipeline.reward_accuracy()
    skipped = pipeline.prompts(settings.stage.split).skipped if hasattr(settings.data, "prompts") else {}
    write_metrics(store)
    summary = summarise(settings, store, figures, accuracy, skipped)
    log.info("done in %.0f s", time.perf_counter() - started)
    return summary


def loggers_of(cfg: DictConfig, directory: Path) -> Callable[[str], list]:
    """Makes the Lightning loggers of a round: CSV always, and the configured one."""
    from lightning.pytorch.loggers import CSVLogger

    more = config.make(cfg, "logger") if "_target_" in cfg.logger else None

    def loggers(name: str) -> list:
        csv = CSVLogger(directory / name, name="metrics", flush_logs_every_n_steps=1)
        return [csv, *([more(directory, name)] if more else [])]

    return loggers


def device_of(settings: config.Settings) -> str:
    """Where models are loaded: the trainer's accelerator, if there is one."""
    if settings.training.settings.accelerator == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return "cuda"


def quiet() -> None:
    """Our own log lines on the terminal, and nobody else's chatter."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("icr").setLevel(logging.INFO)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    transformers.logging.disable_progress_bar()
    # Pairs are collated in microseconds: loader workers would cost more than they save.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Between two of Lightning's own dependencies.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")


def explain(error: HydraException) -> str:
    """A composition error as one paragraph, with the nearest valid key or option."""
    text = " ".join(str(part) for part in (error, error.__cause__ or "") if str(part)).strip()
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match.group(1)
        return f"{key} is not a setting.{config.near(key, all_keys())} `python -m icr.run --cfg job` lists them all."
    if match := re.search(r"Could not find '([^']+)'", text):
        group, _, option = match.group(1).rpartition("/")
        options = sorted(path.stem for path in (config.conf_dir() / group).glob("*.yaml"))
        return f"{group}={option}: there is no such option.{config.near(option, options)} Options: {', '.join(options)}."
    return text


def all_keys() -> list[str]:
    """Every key of the default configuration, dotted, and the groups."""

    def dotted(node, prefix: str) -> list[str]:
        found = []
        for name in node:
            key = f"{prefix}{name}"
            found.append(key)
            if OmegaConf.is_dict(child := node._get_node(name)) and not child._is_none():
                found += dotted(child, f"{key}.")
        return found

    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        return dotted(hydra.compose("config"), "")


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
    except OSError as error:
        print(f"icr: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("icr: stopped. The same command on the same run.dir goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
