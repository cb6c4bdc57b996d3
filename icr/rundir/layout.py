"""Every name in a run directory, once: its files, its folders, and the stages that make them.

A stage's name is where its output lies below the run directory, without the suffix: a table is `<stage>.parquet`, a
document `<stage>.json`, a folder `<stage>/`. Stages of benchmarks alone are in `icr.rundir.benchmarks`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from icr.errors import RunError

FORMAT = 4
"""Format of the run directories that this version writes and reads, as manifests name it; icr 0.1.0 named none."""


@dataclass(frozen=True)
class RoundStages:
    """Names of the stages of one round, such as `round_0/rewards`.

    Attributes:
        responses: table of the sampled responses.
        rewards: table of their rewards.
        second_rewards: table of their rewards under another reward prompt, where the gate compares two.
        length_control: document: `α_len` per language, and the curve that it was taken from.
        skipped: document: prompts without a pair, `[language][reason]`.
        diagnosis: document: what the responses and rewards look like, `[figure][language]`.
        pairs: table of the preference pairs.
        model: folder of the trained model, or adapter.
        merged: folder of the trained adapter, merged into its base.
    """

    responses: str
    rewards: str
    second_rewards: str
    length_control: str
    skipped: str
    diagnosis: str
    pairs: str
    model: str
    merged: str

    @property
    def data(self) -> tuple[str, ...]:
        """The stages that are made before the model is trained, from its data or about them."""
        chosen = (self.length_control, self.skipped, self.diagnosis, self.pairs)
        return self.responses, self.rewards, self.second_rewards, *chosen


def round_folder(number: int) -> str:
    """The folder of a round in the run directory, by which the log calls the round, too."""
    return f"round_{number}"


def round_stages(number: int) -> RoundStages:
    """The stages of a round."""
    return RoundStages(**{field.name: f"{round_folder(number)}/{field.name}" for field in fields(RoundStages)})


def answers_stage(model: str) -> str:
    """Stage of a model's answers to the prompts of an evaluation, by the model's name: a table."""
    return f"answers/{model}"


def evaluation_stage(model: str) -> str:
    """Stage of a model's evaluation, by the model's name: a table of its answers, judged."""
    return f"evaluation/{model}"


def accuracy_stage(reward_prompt: str) -> str:
    """Stage that rewards the first round's responses under another reward prompt, to measure its accuracy: a table."""
    return f"evaluation/rewards_{reward_prompt}"


@dataclass(frozen=True)
class RoundLayout:
    """Where everything of one round lies.

    Attributes:
        number: of the round.
        responses, rewards, pairs: tables.
        length_control, skipped, diagnosis: documents.
        model, merged: folders of models.
        checkpoints: folder of a training that is not complete.
        metrics: folder of what was logged in training, by Lightning's CSV logger.
    """

    number: int
    responses: Path
    rewards: Path
    length_control: Path
    skipped: Path
    diagnosis: Path
    pairs: Path
    model: Path
    merged: Path
    checkpoints: Path
    metrics: Path

    def metrics_files(self) -> list[Path]:
        """What each attempt at the training logged, the first attempt first."""
        files = self.metrics.glob("version_*/metrics.csv")
        return sorted(files, key=lambda file: int(file.parent.name.removeprefix("version_")))


@dataclass(frozen=True)
class Layout:
    """Where everything lies in the run directory `path`."""

    path: Path

    @property
    def config(self) -> Path:
        """The composed configuration."""
        return self.path / "config.yaml"

    @property
    def overrides(self) -> Path:
        """What the command line chose and set, of which the configuration is composed again."""
        return self.path / "overrides.yaml"

    @property
    def manifest(self) -> Path:
        """The directory's format, and its complete stages."""
        return self.path / "manifest.json"

    @property
    def summary(self) -> Path:
        """What the run amounts to: `icr.rundir.results.Summary`."""
        return self.path / "summary.json"

    @property
    def metrics(self) -> Path:
        """What was logged in training, all rounds together."""
        return self.path / "metrics.csv"

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.path / "report.html"

    @property
    def models(self) -> Path:
        """A pattern for the folders of the trained models, to be shown."""
        return self.path / "round_*/model"

    def table(self, stage: str) -> Path:
        """The output of a stage that makes a table."""
        return self.path / f"{stage}.parquet"

    def document(self, stage: str) -> Path:
        """The output of a stage that makes a document."""
        return self.path / f"{stage}.json"

    def folder(self, stage: str) -> Path:
        """The output of a stage that makes a folder."""
        return self.path / stage

    def parts(self, stage: str) -> Path:
        """Folder of the parts of a table that is not complete."""
        return self.path / f"{stage}.parts"

    @staticmethod
    def begun(work: Path) -> Path:
        """What says of which stage a work folder is, and under which key it was begun: a file beside it."""
        return work.with_name(f"{work.name}.begun.json")

    @staticmethod
    def work(begun: Path) -> Path:
        """The work folder beside such a file."""
        return begun.with_name(begun.name.removesuffix(".begun.json"))

    def all_begun(self) -> list[Path]:
        """These files of all stages that are not complete."""
        return sorted(self.path.glob("*/*.begun.json"))

    def evaluation(self, model: str) -> Path:
        """The table of a model's evaluation."""
        return self.table(evaluation_stage(model))

    @property
    def measured(self) -> Path:
        """What `icr evaluate` has found: `icr.rundir.measured.Measured`."""
        return self.path / "results.json"

    @property
    def leaderboard(self) -> Path:
        """The page of what it has found."""
        return self.path / "leaderboard.html"

    @property
    def leaderboard_csv(self) -> Path:
        """Its figures as a table, a row per model, benchmark, figure and language."""
        return self.path / "leaderboard.csv"

    @property
    def alpaca_eval(self) -> Path:
        """Folder of all that alpaca_eval reads."""
        return self.path / "alpaca_eval"

    def alpaca(self, model: str, language: str) -> Path:
        """Folder of a model's files in one language, as alpaca_eval reads them."""
        return self.alpaca_eval / language / model

    @property
    def benchmarks(self) -> Path:
        """Where `icr evaluate` measures the run's models, in a directory of its own."""
        return self.path / "benchmarks"

    def control(self, name: str) -> Layout:
        """The run directory of a control, within this one."""
        return Layout(self.path / "controls" / name)

    def controls(self) -> list[Layout]:
        """The run directories of the controls that are there, by name."""
        return [Layout(path.parent) for path in sorted(self.path.glob("controls/*/manifest.json"))]

    def round(self, number: int) -> RoundLayout:
        """Where everything of a round lies."""
        stages, folder = round_stages(number), self.path / round_folder(number)
        return RoundLayout(
            number=number,
            responses=self.table(stages.responses),
            rewards=self.table(stages.rewards),
            length_control=self.document(stages.length_control),
            skipped=self.document(stages.skipped),
            diagnosis=self.document(stages.diagnosis),
            pairs=self.table(stages.pairs),
            model=self.folder(stages.model),
            merged=self.folder(stages.merged),
            checkpoints=folder / "checkpoints",
            metrics=folder / "metrics",
        )

    def logged_beside(self, stage: str) -> Path | None:
        """Folder of what was logged while the model was trained that is this stage's output; None of other stages."""
        matches = re.fullmatch(r"round_(\d+)/model", stage)
        return self.round(int(matches[1])).metrics if matches else None

    def rounds(self) -> list[int]:
        """Numbers of the rounds that have a folder, ascending; none where there is no directory."""
        matches = (re.fullmatch(r"round_(\d+)", path.name) for path in self.path.glob("round_*"))
        return sorted(int(match[1]) for match in matches if match)


def check_apart(directory: Path) -> None:
    """Refuse a run directory inside of another run's, in which every name has its meaning.

    Raises:
        RunError: it is.
    """
    for parent in directory.resolve().parents:
        manifest = parent / "manifest.json"
        try:
            ours = manifest.is_file() and "stages" in json.loads(manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError):
            continue  # Of somebody else: many programs have a file of this name.
        if ours:
            raise RunError(f"run.dir={directory} lies in the run {parent}: give a folder of its own, beside that run.")


def check_format(path: Path, manifest: Mapping[str, object]) -> None:
    """Refuse the directory of another version.

    Raises:
        RunError: the manifest at `path` is not of this version's format.
    """
    found = manifest.get("format", 1)
    if found != FORMAT:
        other = "an earlier version of icr (0.1.0)" if found == 1 else f"another version of icr (format {found})"
        raise RunError(
            f"{path.parent} holds a run of {other}: read it with that version, or give another run.dir to run it again "
            f"with this one."
        )
