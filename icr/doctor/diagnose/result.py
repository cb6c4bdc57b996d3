"""What a diagnosis found, by language, and all of it as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from icr.evaluation.diagnosis.accuracy import Accuracies
from icr.evaluation.diagnosis.shares import Estimate
from icr.evaluation.diagnosis.verdict import Level, Verdict
from icr.rundir.files import without_nan


@dataclass(frozen=True)
class LabelledFigures:
    """Accuracy on labelled preferences.

    Attributes:
        equal: both answers cut to one length.
        given: answers as they are.
        rows: that were scored.
        skipped: rows left out, by reason.
    """

    equal: Accuracies
    given: Accuracies
    rows: int
    skipped: dict[str, int]


@dataclass(frozen=True)
class Agreement:
    """Whether another reward prompt sees in own samples what the run's own sees.

    Attributes:
        order: share of the comparisons that both order alike.
        correlation: Kendall's τ_b of both rewards.
        chosen, rejected: share of the prompts with a pair under both in which both choose, or reject, the same one.
        swapped: share of them in which the one's chosen is the other's rejected.
    """

    order: Estimate
    correlation: float
    chosen: float
    rejected: float
    swapped: float


@dataclass(frozen=True)
class OwnFigures:
    """Figures of the policy's own samples.

    Attributes:
        figures: by the names of `icr.metrics.RoundMetric`, under each reward prompt.
        pairs: prompts with a pair, and without one by reason, under each reward prompt.
        agreement: of the run's reward prompt with each other one.
        judged: accuracy by the judge; None without one that scores.
        unjudged: responses that the judge gave no score.
        points: length and reward of some responses, each less the mean of its prompt, for a picture. Shape `[P, 2]`.
        prompts, responses: how many.
    """

    figures: dict[str, dict[str, float]]
    pairs: dict[str, dict[str, int]]
    agreement: dict[str, Agreement]
    judged: Accuracies | None
    unjudged: int
    points: np.ndarray
    prompts: int
    responses: int


@dataclass
class Diagnosed:
    """What was found about one language.

    Attributes:
        verdict: go, caution or no-go with its reasons.
        labelled: on labelled preferences; None without any.
        own: on own samples; None where there are none.
    """

    verdict: Verdict
    labelled: LabelledFigures | None = None
    own: OwnFigures | None = None

    @property
    def equal(self) -> Accuracies | None:
        """Accuracy by labels at equal length; None without labels."""
        return self.labelled.equal if self.labelled else None

    @property
    def given(self) -> Accuracies | None:
        """Accuracy by labels of answers as they are; None without labels."""
        return self.labelled.given if self.labelled else None

    @property
    def judged(self) -> Accuracies | None:
        """Accuracy by the judge on own samples; None without a judge that scores."""
        return self.own.judged if self.own else None


@dataclass(frozen=True)
class Result:
    """A whole diagnosis.

    Attributes:
        languages: what was found, by language.
        main: name of the run's reward prompt.
        prompts: names of all reward prompts.
        pair: paths of `policy` and `reference`.
        notes: what a reader should know of the data.
    """

    languages: dict[str, Diagnosed]
    main: str
    prompts: list[str]
    pair: Mapping[str, str]
    notes: list[str] = field(default_factory=list)

    def at(self, level: Level) -> list[str]:
        """The languages with this verdict."""
        return [code for code, found in self.languages.items() if found.verdict.level == level]

    def as_json(self) -> dict[str, Any]:
        """All figures, null where one could not be measured; the points of pictures are left out."""
        document = asdict(self)
        for found in document["languages"].values():
            if found["own"]:
                del found["own"]["points"]
        plain: dict[str, Any] = without_nan(document)
        return plain
