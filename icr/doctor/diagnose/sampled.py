"""What own samples tell of a reward: by themselves, between reward prompts, and by a judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from icr.config import Settings
from icr.doctor.diagnose.result import Agreement, OwnFigures
from icr.evaluation.diagnosis.accuracy import Accuracies, accuracies
from icr.evaluation.diagnosis.own import own_figures
from icr.evaluation.diagnosis.samples import Samples, agreed, rank_correlation, tabulated
from icr.evaluation.diagnosis.shares import Shares
from icr.judges import Answer, is_pointwise
from icr.rewards import Choices
from icr.rounds.regenerate import chosen
from icr.types import Prompt, Response, ScoredResponse

POINTS = 300
"""Responses of a language in a picture."""


@dataclass
class OwnSamples:
    """The policy's responses with their rewards under each reward prompt.

    Attributes:
        settings: of the run.
        main: name of its reward prompt.
        second: name of the one that its gate compares that with; None where it compares none.
        by_key: prompts by id and language.
        responses: several per prompt.
        rewards: of these, in order, by reward prompt.
    """

    settings: Settings
    main: str
    second: str | None
    by_key: Mapping[tuple[str, str], Prompt]
    responses: Sequence[Response]
    rewards: Mapping[str, Sequence[ScoredResponse]]

    def figures(self) -> dict[str, OwnFigures]:
        """What is found of each language."""
        figures = {name: self._figures(name) for name in self.rewards}
        return {code: self._of_language(code, figures) for code in self._tables[self.main]}

    @cached_property
    def _choices(self) -> dict[str, Choices]:
        """The pairs that a round would make of them, under each reward prompt."""
        settings = self.settings
        second = self.rewards[self.second] if self.second else None
        made = {
            name: chosen(
                self.responses,
                scored,
                length_control=settings.length_control,
                gate=settings.gate,
                pairing=settings.pairing,
                second=second,
            )
            for name, scored in self.rewards.items()
        }
        return {name: choices for name, (_, choices) in made.items()}

    @cached_property
    def _tables(self) -> dict[str, dict[str, Samples]]:
        units = {code: control.unit for code, control in self._choices[self.main].length_control.items()}
        return {name: tabulated(self.responses, scored, units) for name, scored in self.rewards.items()}

    @cached_property
    def _scores(self) -> dict[str, np.ndarray]:
        """The judge's scores by language, NaN where it gave none; empty without a judge that scores. Shape `[N, K]`."""
        judge = self.settings.judge
        if not judge or not is_pointwise(judge):
            return {}
        given = judge.score([Answer(self.by_key[r.id, r.language], r.text) for r in self.responses])
        values = [np.nan if score.value is None else score.value for score in given]
        found = {}
        for code, table in self._tables[self.main].items():
            scores = np.full(table.there.shape, np.nan)
            scores[table.there] = [v for v, r in zip(values, self.responses, strict=True) if r.language == code]
            found[code] = scores
        return found

    def _figures(self, name: str) -> dict[str, dict[str, float]]:
        choices = self._choices[name]
        alphas = {code: control.alpha for code, control in choices.length_control.items()}
        counts = Counter(choice.language for choice in choices.pairs)
        return own_figures(
            self._tables[name], self.responses, alphas, counts, identify=self.settings.diagnosis.identify
        )

    @cached_property
    def _picks(self) -> dict[str, dict[tuple[str, str], tuple[int, int]]]:
        """By reward prompt: chosen and rejected `k` by language and prompt; of several pairs of a prompt the last."""
        return {
            name: {(choice.language, choice.id): (choice.chosen_k, choice.rejected_k) for choice in choices.pairs}
            for name, choices in self._choices.items()
        }

    def _of_language(self, code: str, figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> OwnFigures:
        table = self._tables[self.main][code]
        others = [name for name in self.rewards if name != self.main]
        scores = self._scores.get(code)
        return OwnFigures(
            figures={name: {metric: by[code] for metric, by in of.items()} for name, of in figures.items()},
            pairs={
                name: {"pairs": sum(c.language == code for c in choices.pairs), **choices.skipped.get(code, {})}
                for name, choices in self._choices.items()
            },
            agreement={name: self._agreement(code, name) for name in others},
            judged=None if scores is None else self._judged(code, scores),
            unjudged=0 if scores is None else int(np.isnan(scores[table.there]).sum()),
            points=_points(table),
            prompts=len(table.ids),
            responses=int(table.there.sum()),
        )

    def _agreement(self, code: str, other: str) -> Agreement:
        ours, theirs = self._tables[self.main][code], self._tables[other][code]
        within = ours.usable & theirs.usable
        hits, counted = agreed(ours.rewards, theirs.rewards, within, tie=0.5)
        confidence = self.settings.diagnosis.confidence
        rows = range(len(hits))
        shares = Shares({other: hits}, {other: counted}, rows, [""] * len(hits), confidence)
        mine, its = self._picks[self.main], self._picks[other]
        both = np.array([(*mine[key], *its[key]) for key in mine if key[0] == code and key in its]).reshape(-1, 4)
        return Agreement(
            order=shares.share(other),
            correlation=rank_correlation(ours.rewards, theirs.rewards, within),
            chosen=_share(both[:, 0] == both[:, 2]),
            rejected=_share(both[:, 1] == both[:, 3]),
            swapped=_share(both[:, 0] == both[:, 3]),
        )

    def _judged(self, code: str, scores: np.ndarray) -> Accuracies:
        tables = {name: by_language[code] for name, by_language in self._tables.items()}
        return accuracies(
            tables,
            scores,
            tables[self.main].usable & ~np.isnan(scores),
            main=self.main,
            confidence=self.settings.diagnosis.confidence,
            tie=0.5,
        )


def _points(table: Samples) -> np.ndarray:
    """Length and reward less the prompt's mean, of usable responses, evenly thinned. Shape `[P, 2]`."""
    rows = table.usable.any(axis=1)
    within = table.usable[rows]
    pair = []
    for values in (table.lengths[rows], table.rewards[rows]):
        kept = np.where(within, values, np.nan)
        pair.append((kept - np.nanmean(kept, axis=1, keepdims=True))[within])
    points = np.stack(pair, axis=1)
    return points[:: max(1, -(-len(points) // POINTS))]


def _share(which: np.ndarray) -> float:
    return float(which.mean()) if which.size else float("nan")
