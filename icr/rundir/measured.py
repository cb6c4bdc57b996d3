"""`results.json` of `icr evaluate`: what each benchmark has found about the models, typed, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from icr.rundir.files import without_nan

Figures = dict[str, dict[str, float]]
"""`[figure][language]`, with `mean` for the mean over the target languages."""


@dataclass(frozen=True)
class Difference:
    """A figure of one model less that of another, on the prompts that both have.

    Attributes:
        figure: its name.
        model, baseline: names of the two.
        language: code, or `mean`.
        value: of the difference, in the unit of the figure.
        low, high: of its 95 % interval.
        prompts: that both have.
        left_out: that one of them has alone.
        not_above: share of the bootstrap samples in which it is 0 or less: a one-sided p-value.
    """

    figure: str
    model: str
    baseline: str
    language: str
    value: float
    low: float
    high: float
    prompts: int
    left_out: int = 0
    not_above: float = math.nan


@dataclass(frozen=True)
class Result:
    """What a benchmark has found about all of its models.

    Attributes:
        figures: by model, in the order of tables.
        differences: between models.
        notes: sentences on what the figures are of: the judge, the length control, what was left out, what was spent.
    """

    figures: Mapping[str, Figures]
    differences: Sequence[Difference] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Measured:
    """All that `icr evaluate` has found in a directory.

    Attributes:
        languages: codes, in the order of tables.
        models: path of each model, by name; `""` where answers were given.
        results: by benchmark.
        versions: of the libraries.
    """

    languages: Sequence[str]
    models: Mapping[str, str]
    results: Mapping[str, Result]
    versions: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The document, with null for what could not be measured."""
        document: dict[str, Any] = without_nan(asdict(self))
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Measured:
        """What `as_json` has made.

        Raises:
            KeyError, TypeError, AttributeError: the document is something else.
        """
        results = {name: _result(found) for name, found in document["results"].items()}
        return cls(**{**document, "results": results})


def _result(document: Mapping[str, Any]) -> Result:
    figures = {
        model: {name: {key: _number(value) for key, value in by.items()} for name, by in own.items()}
        for model, own in document["figures"].items()
    }
    numbers = ("value", "low", "high", "not_above")
    differences = [
        Difference(**row | {name: _number(row[name]) for name in numbers}) for row in document["differences"]
    ]
    return Result(figures, differences, list(document["notes"]))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
