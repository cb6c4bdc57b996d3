"""The same metrics in TensorBoard and MLflow, through Lightning's loggers."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger

from icr.errors import ConfigError, one_line
from icr.rundir import Summary
from icr.tracking.about import About
from icr.tracking.axis import OneAxisTracking


@dataclass
class _LoggerTracking(OneAxisTracking):
    """CSV files, and a logger of Lightning's; its steps are those over all rounds, and for models their number."""

    _logger: Logger | None = field(default=None, init=False, repr=False)

    def log_step(self, metrics: Mapping[str, float], round: int, step: int) -> None:
        """Log a step."""
        self._log(metrics, step)

    def log_model(self, figures: Mapping[str, float], model: int) -> None:
        """Log a model's figures."""
        self._log(figures, model)

    def finish(self, summary: Summary) -> None:
        """Close what was opened."""
        self._close("success")

    def abort(self) -> None:
        """Close what was opened, of a run that has failed."""
        self._close("failed")

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        assert self._logger is not None, "begin was not called"
        self._logger.log_metrics(dict(metrics), step)

    def _close(self, status: str) -> None:
        if self._logger is not None:
            self._logger.save()
            self._logger.finalize(status)


@dataclass
class TensorBoardTracking(_LoggerTracking):
    """CSV files, and TensorBoard's under `<run>/tensorboard`. Config `logger=tensorboard`.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __post_init__(self) -> None:
        _require("tensorboard")

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.directory / "tensorboard"

    def begin(self, run: About) -> None:
        """Open a file for this attempt at the run, and show the settings as a text."""
        logger = TensorBoardLogger(str(self.directory), name=self.folder.name, version="")
        self._logger = logger
        if run.config and self.unseen(["config"]):
            text = yaml.safe_dump(dict(run.config), allow_unicode=True, sort_keys=False)
            # Indented, Markdown shows it as it is.
            logger.experiment.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()))


@dataclass
class MlflowTracking(_LoggerTracking):
    """CSV files, and a run of MLflow's. Config `logger=mlflow`.

    A job that goes on in the same run directory goes on in the same MLflow run.

    Raises:
        ConfigError: MLflow is not installed, or the address holds a password.
    """

    experiment: str = "icr"
    """MLflow experiment."""
    uri: str | None = None
    """Of the tracking server or database; None takes `MLFLOW_TRACKING_URI`, and without it `mlflow.db` in the run
    directory."""

    def __post_init__(self) -> None:
        _require("mlflow")
        if self.uri and (urlsplit(self.uri).username or urlsplit(self.uri).password):
            raise ConfigError(
                "logger.uri holds a user or a password, which the run directory would keep: give the address in the "
                "variable MLFLOW_TRACKING_URI instead."
            )

    @property
    def folder(self) -> Path:
        """Where it keeps its files, but for the database."""
        return self.directory / "mlflow"

    def begin(self, run: About) -> None:
        """Begin the MLflow run, or go on in it.

        Raises:
            ConfigError: there is no server or database where the settings say.
        """
        from mlflow.exceptions import MlflowException

        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.directory.resolve()}/mlflow.db"
        own = self.folder / "run"
        try:
            logger = MLFlowLogger(
                experiment_name=self.experiment,
                run_name=self.directory.resolve().name,
                tracking_uri=uri,
                tags={"icr.tags": ", ".join(run.tags)},
                artifact_location=str(self.folder.resolve()) if uri.startswith("sqlite:") else None,
                run_id=own.read_text(encoding="utf-8") if own.is_file() else None,
            )
            found = logger.run_id
        except (MlflowException, OSError) as error:
            raise ConfigError(f"logger=mlflow cannot start: {one_line(error)} Look at logger.uri.") from error
        self.folder.mkdir(exist_ok=True)
        own.write_text(str(found), encoding="utf-8")
        self._logger = logger
        if run.config and self.unseen(["config"]):
            logger.log_hyperparams(dict(run.config))


def _require(package: str) -> None:
    """The option, the package and the extra that brings it have one name."""
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"logger={package} needs {package}, which is not installed: pip install 'icr[{package}]'.")
