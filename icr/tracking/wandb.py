"""Metrics, samples, pairs and results in Weights & Biases, one W&B run per job, beside the CSV files."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from icr.checks import require_integer
from icr.errors import ConfigError, one_line
from icr.metrics import GLOBAL_STEP, MODEL, ROUND, SAMPLES, Metric, model_names
from icr.rundir import Layout, Summary, count_rounds
from icr.rundir.layout import round_folder
from icr.rundir.results import RoundCounts
from icr.tracking.about import About
from icr.tracking.alerts import WINDOW, Alert, Alerts
from icr.tracking.axis import OneAxisTracking
from icr.tracking.figures import pair_figures
from icr.tracking.round_data import lineage, samples
from icr.tracking.secrets import without_secrets

if TYPE_CHECKING:
    import wandb

TAG = 64
"""Most characters of a tag of W&B's."""


@dataclass
class WandbTracking(OneAxisTracking):
    """CSV files, and one W&B run per job. Config `logger=wandb`.

    A job that goes on in the same run directory goes on in the same W&B run. Metrics have the names of `icr.metrics`,
    and `global_step` as their axis; figures of models have `model`. W&B gets the settings without secrets, and no
    command line.
    """

    project: str
    """W&B project."""
    entity: str | None = None
    """User or team that the project belongs to; None takes the login's own."""
    group: str | None = None
    """Groups the jobs of a sweep."""
    tags: Sequence[str] = ()
    """Beside those that say what the run is."""
    offline: bool = False
    """Keep everything in the run directory; needs no account. `wandb sync` uploads it later."""
    samples: int = 20
    """Rows per language of each round's table of samples; 0 is off."""
    pairs: bool = True
    """Keep each round's pairs as a version of the artifact `pairs`."""
    alerts: Alerts = field(default_factory=Alerts)
    """When somebody should look at the run."""

    def __post_init__(self) -> None:
        require_integer("samples", self.samples)
        if self.samples < 0:
            raise ValueError(f"samples must be 0 or more, got {self.samples}")
        self._run: wandb.Run | None = None
        self._about = About()
        self._ratios: deque[float] = deque(maxlen=WINDOW)

    @property
    def folder(self) -> Path:
        """Where W&B keeps its files."""
        return self.directory / "wandb"

    @property
    def run(self) -> wandb.Run:
        """The W&B run, once it has begun."""
        assert self._run is not None, "begin was not called"
        return self._run

    def begin(self, run: About) -> None:
        """Begin the W&B run, or go on in it.

        Raises:
            ConfigError: W&B does not let it begin, such as without a login.
        """
        import wandb

        folder = self.directory.resolve()
        own = without_secrets({"tags": [str(tag) for tag in self.tags]})["tags"]
        tags = [tag[:TAG] for tag in dict.fromkeys([*run.tags, *own]) if tag]
        try:
            with _no_arguments():
                self._run = wandb.init(
                    project=self.project,
                    entity=self.entity,
                    group=self.group,
                    tags=tags,
                    config=dict(run.config),
                    allow_val_change=True,  # Of what changes no number, when a job goes on.
                    name=folder.name,
                    id=hashlib.sha256(str(folder).encode()).hexdigest()[:12],
                    dir=str(self.directory),
                    mode="offline" if self.offline else "online",
                    resume="never" if self.offline else "allow",
                    settings=wandb.Settings(silent=True, reinit="finish_previous"),
                )
        except wandb.errors.Error as error:
            raise ConfigError(
                f"logger=wandb cannot start: {one_line(error)}. Log in with `wandb login`, or keep it local with "
                f"logger.offline=true."
            ) from error
        self._about = run
        self._define_axes()

    def log_step(self, metrics: Mapping[str, float], round: int, step: int) -> None:
        """Log a step, and look whether chosen responses become less likely."""
        self.run.log({**metrics, ROUND: round, GLOBAL_STEP: step})
        if Metric.LOGPS_CHOSEN_RATIO in metrics:
            self._ratios.append(metrics[Metric.LOGPS_CHOSEN_RATIO])
            if len(self._ratios) == WINDOW:
                self._alert(self.alerts.of_steps(self._ratios, round))

    def log_model(self, figures: Mapping[str, float], model: int) -> None:
        """Log a model's figures, and look whether its answers are in the right language and do not repeat."""
        self.run.log({**figures, MODEL: model})
        self._alert(self.alerts.of_model(figures, self._about.languages, model))

    def paired(self, round: int) -> None:
        """Log samples and pairs of a round, and look whether they are as those of round 0."""
        self._log_round(round)
        counts = {entry.round: entry for entry in count_rounds(Layout(self.directory), {0, round})}
        if round in counts:
            found = {number: _figures(entry) for number, entry in counts.items()}
            self._alert(self.alerts.of_round(found[round], found.get(0, {}), self._about.languages, round))

    def ended(self, round: int) -> None:
        """Look at the last steps, also of a round of few."""
        self._alert(self.alerts.of_steps(self._ratios, round))
        self._ratios.clear()

    def finish(self, summary: Summary) -> None:
        """Log what rounds that were there before have not, put the results into the W&B summary, and close the run."""
        for number in Layout(self.directory).rounds():
            self._log_round(number)
        self.run.summary.update(
            {
                f"{metric}/{model.label}/{language}": value
                for model in summary.models
                for metric, values in model.figures.items()
                for language, value in values.items()
            }
            | {f"seconds/{stage}": seconds for stage, seconds in summary.seconds.items()}
            | {"rounds": len(summary.rounds), "icr": summary.version}
        )
        self.run.finish()

    def abort(self) -> None:
        """Close the run as one that has failed."""
        if self._run is not None:
            self.run.finish(exit_code=1)

    def _define_axes(self) -> None:
        self.run.define_metric(GLOBAL_STEP)
        self.run.define_metric("*", step_metric=GLOBAL_STEP)
        self.run.define_metric(MODEL)
        prompts = self._about.config.get("evaluation", {}).get("reward_prompts") or {}
        for name in model_names(self._about.languages, prompts):
            self.run.define_metric(name, step_metric=MODEL)

    def _log_round(self, round: int) -> None:
        import wandb

        if self.samples and self.unseen([f"{round_folder(round)} samples"]):
            rows = samples(self.directory, round, self.samples)
            if len(rows):
                axes = {ROUND: round, GLOBAL_STEP: self.offset(round)}
                self.run.log({SAMPLES: wandb.Table(dataframe=rows), **axes})
        pairs = Layout(self.directory).round(round).pairs
        if self.pairs and pairs.is_file() and self.unseen([f"{round_folder(round)} pairs"]):
            artifact = wandb.Artifact(
                "pairs",
                type="dataset",
                description=f"Preference pairs of {round_folder(round)}.",
                metadata=lineage(self.directory, round, self._about.config),
            )
            # The run directory's files do not change, and W&B's own copy would lie in the home folder.
            artifact.add_file(str(pairs), policy="immutable", skip_cache=True)
            self.run.log_artifact(artifact, aliases=[round_folder(round), f"{self.run.id}-{round_folder(round)}"])

    def _alert(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            if self.unseen([f"alert {alert.title}"]):
                self.run.alert(alert.title, alert.text, level="WARN")


def _figures(counts: RoundCounts) -> dict[str, float]:
    """A round's figures by the names under which they are logged."""
    diagnosis = {f"{code}/{name}": value for name, by in counts.diagnosis.items() for code, value in by.items()}
    return diagnosis | pair_figures(counts)


@contextlib.contextmanager
def _no_arguments() -> Iterator[None]:
    """W&B keeps the command line as it finds it when a run begins, whose overrides may hold secrets."""
    arguments = sys.argv
    sys.argv = arguments[:1]
    try:
        yield
    finally:
        sys.argv = arguments
