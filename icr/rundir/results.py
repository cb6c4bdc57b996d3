"""What a run amounts to, typed: its models with their figures, the counts of its rounds, and all of it as JSON.

A figure that could not be measured is NaN here, and null in JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

from icr.rundir.files import without_nan

Kind: TypeAlias = Literal["start", "round", "control"]
Counts: TypeAlias = dict[str, int]
"""Whole numbers by language, or by reason."""
Figures: TypeAlias = dict[str, float]
"""Numbers by language, and `mean` over the target languages."""


@dataclass(frozen=True)
class ModelResult:
    """An evaluated model.

    Attributes:
        name: in the run that made it, such as `M0` or `sft`.
        kind: `start`, for a model that the run started from; `round`, for the result of a round; `control`, for a
            model of one of the run's controls.
        round: whose result it is; `None` of a start.
        figures: of each metric, such as `win_rate` in percent and its standard error `win_rate_se`.
        control: key of the control in the configuration, such as `random_labels`; `None` of the run's own models.
    """

    name: str
    kind: Kind
    round: int | None
    figures: dict[str, Figures]
    control: str | None = None

    @property
    def label(self) -> str:
        """A name that no other model of the run has: `M0`, `control: random labels M0`."""
        return self.name if self.control is None else f"control: {self.control_label} {self.name}"

    @property
    def control_label(self) -> str:
        """The control in words: `random labels`; empty of the run's own models."""
        return (self.control or "").replace("_", " ")

    def figure(self, metric: str, language: str = "mean") -> float:
        """One figure; NaN where it was not, or could not be, measured."""
        return self.figures.get(metric, {}).get(language, math.nan)


@dataclass(frozen=True)
class RoundCounts:
    """What a round was made of, each by language.

    Attributes:
        round: its number.
        prompts, responses, pairs: how many.
        replayed: pairs of earlier rounds or of a file that were trained on beside them.
        skipped: `[language][reason]`, prompts that gave no pair.
        alpha: `α_len`, nats per unit of length.
        chosen_reward, rejected_reward: means over the pairs, nats, before length control.
        chosen_tokens, rejected_tokens: mean lengths over the pairs.
        diagnosis: `[figure][language]`, by the names of `icr.metrics.RoundMetric`.
    """

    round: int
    prompts: Counts = field(default_factory=dict)
    responses: Counts = field(default_factory=dict)
    pairs: Counts = field(default_factory=dict)
    replayed: Counts = field(default_factory=dict)
    skipped: dict[str, Counts] = field(default_factory=dict)
    alpha: Figures = field(default_factory=dict)
    chosen_reward: Figures = field(default_factory=dict)
    rejected_reward: Figures = field(default_factory=dict)
    chosen_tokens: Figures = field(default_factory=dict)
    rejected_tokens: Figures = field(default_factory=dict)
    diagnosis: dict[str, Figures] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """`summary.json`. A run that is not finished has what is known of it, and the defaults.

    Attributes:
        stage: what was trained: `icr`, `english_dpo` or `sft`.
        seed: of the run.
        version: of icr.
        iterations: rounds that were asked for.
        languages: codes, in the order of the configuration.
        reward_pair: paths of `policy` and `reference`.
        models: evaluated models: starts, results of rounds, controls.
        reward_accuracy: of the reward, by reward prompt: share of pairs of responses ordered as the judge orders them.
        skipped_prompts: `[language][reason]`, left out before any round.
        rounds: one entry per round that has sampled responses, ascending.
        seconds: wall-clock time of each stage.
        versions: of Python and the libraries.
    """

    stage: str = ""
    seed: int | None = None
    version: str = ""
    iterations: int | None = None
    languages: list[str] = field(default_factory=list)
    reward_pair: dict[str, str] = field(default_factory=dict)
    models: list[ModelResult] = field(default_factory=list)
    reward_accuracy: dict[str, Figures] = field(default_factory=dict)
    skipped_prompts: dict[str, Counts] = field(default_factory=dict)
    rounds: list[RoundCounts] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def road(self) -> list[ModelResult]:
        """The run's own models from the start on: those it started from, then one per round."""
        rounds = [model for model in self.models if model.kind == "round"]
        return [m for m in self.models if m.kind == "start"] + sorted(rounds, key=lambda model: model.round or 0)

    @property
    def controls(self) -> dict[str, list[ModelResult]]:
        """The models of each control, by its key."""
        found: dict[str, list[ModelResult]] = {}
        for model in self.models:
            if model.control is not None:
                found.setdefault(model.control, []).append(model)
        return found

    @property
    def targets(self) -> list[str]:
        """The languages other than English."""
        return [language for language in self.languages if language != "en"]

    def model(self, name: str, control: str | None = None) -> ModelResult | None:
        """The model of that name, of the run or of a control; `None` if none was evaluated."""
        return next((m for m in self.models if (m.name, m.control) == (name, control)), None)

    def with_control(self, name: str, summary: Summary) -> Summary:
        """The same with the models of the control `name`, whose own run `summary` sums up."""
        models = [replace(model, kind="control", control=name) for model in summary.models]
        return replace(self, models=[*self.models, *models])

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON holds it."""
        document: dict[str, Any] = without_nan(asdict(self))
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Summary:
        """The summary of what `as_json` has returned.

        Raises:
            KeyError, TypeError, AttributeError: it is of another form.
        """
        models = [
            ModelResult(**{**m, "figures": {metric: with_nan(f) for metric, f in m["figures"].items()}})
            for m in document["models"]
        ]
        rounds = [_round(entry) for entry in document["rounds"]]
        accuracy = {name: with_nan(values) for name, values in document["reward_accuracy"].items()}
        return cls(**{**document, "models": models, "rounds": rounds, "reward_accuracy": accuracy})


MEANS = ("alpha", "chosen_reward", "rejected_reward", "chosen_tokens", "rejected_tokens")
"""Fields of `RoundCounts` that are measured rather than counted."""


def _round(document: Mapping[str, Any]) -> RoundCounts:
    diagnosis = {name: with_nan(values) for name, values in document.get("diagnosis", {}).items()}
    return RoundCounts(**{**document, **{key: with_nan(document[key]) for key in MEANS}, "diagnosis": diagnosis})


def with_nan(values: Mapping[str, float | None]) -> Figures:
    """Figures as JSON holds them, with NaN for what could not be measured."""
    return {key: math.nan if value is None else float(value) for key, value in values.items()}
