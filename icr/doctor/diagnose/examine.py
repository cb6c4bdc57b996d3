"""The diagnosis of a reward: on labelled preferences, on the policy's own samples, and both against the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from icr.config import Settings
from icr.data import labelled
from icr.data.context import usable_prompts
from icr.data.labelled import LabelledSet
from icr.doctor.diagnose.result import Diagnosed, LabelledFigures, OwnFigures, Result
from icr.doctor.diagnose.sampled import OwnSamples
from icr.doctor.diagnose.scoring import Scorer, answers
from icr.doctor.settings import DoctorSettings
from icr.errors import ConfigError
from icr.evaluation.diagnosis import reasons
from icr.evaluation.diagnosis.accuracy import Accuracies, accuracies
from icr.evaluation.diagnosis.samples import Samples, tabulated
from icr.evaluation.diagnosis.verdict import Level, Reason, Verdict
from icr.metrics import RoundMetric
from icr.models.configuration import context_length
from icr.types import Prompt, PromptSet

UNLABELLED = "nothing says which answers are better: give doctor.labelled=<folder>, or a judge that scores"


@dataclass
class Diagnostics:
    """The diagnosis of one run's reward. Reads all data before it loads a model.

    Attributes:
        settings, doctor: what is diagnosed, and how.
        device: where models are loaded.

    Raises:
        ICRError: data, tokenizer or settings cannot be used.
    """

    settings: Settings
    doctor: DoctorSettings
    device: str
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings, doctor = self.settings, self.doctor
        loader, path = settings.model.loader, settings.model.path
        self.scorer = Scorer(settings, self.device)
        self.renderer = loader.renderer(path)
        self.context = context_length(path, loader.trust_remote_code)
        self.texts = [lambda prompt: prompt.text, *(prompt.text for prompt in self.scorer.prompts.values())]
        self.labelled = self._labelled(Path(doctor.labelled)) if doctor.labelled else LabelledSet({})
        self.prompts = self._prompts() if doctor.own_prompts else []
        if not (self.labelled.rows or self.prompts):
            raise ConfigError(
                "There is nothing to diagnose: give doctor.labelled=<folder of <lang>.jsonl>, or doctor.own_prompts of "
                "at least 1 with prompts as data."
            )

    @property
    def main(self) -> str:
        """Name of the run's reward prompt."""
        return next(iter(self.scorer.prompts))

    def run(self) -> Result:
        """Score, and say what was found of each language."""
        by_labels = self._by_labels()
        by_samples = self._by_samples()
        pair = self.settings.reward_pair
        codes = [code for code in self.settings.langs.codes if code in by_labels or code in by_samples]
        found = {code: self._diagnosed(by_labels.get(code), by_samples.get(code)) for code in codes}
        paths = {"policy": pair.policy, "reference": pair.reference}
        return Result(found, self.main, list(self.scorer.prompts), paths, self.notes)

    def _labelled(self, folder: Path) -> LabelledSet:
        given = labelled.read(folder, self.settings.langs.codes, self.doctor.labelled_rows, key="doctor.labelled")
        if without := [code for code in self.settings.langs.codes if code not in given.rows]:
            self.notes.append(f"No labelled preferences in {', '.join(without)}.")
        kept = labelled.usable(given, self.renderer, self.texts, self.context)
        for code, skipped in kept.skipped.items():
            if skipped:
                listed = ", ".join(f"{reason}: {count}" for reason, count in skipped.items())
                self.notes.append(f"Labelled preferences left out in {code}: {listed}.")
        return kept

    def _prompts(self) -> list[Prompt]:
        """The first few usable prompts of each language."""
        settings = self.settings
        if settings.data.provides != "prompts":
            return []
        given = settings.data.prompts(settings.langs.codes, settings.stage.split)
        few = [p for code in settings.langs.codes for p in _of(given.prompts, code)[: self.doctor.own_prompts]]
        limit = settings.sampling.max_new_tokens
        return usable_prompts(PromptSet(few), self.renderer, self.texts, self.context, limit).prompts

    def _by_labels(self) -> dict[str, LabelledFigures]:
        rows = [row for of_language in self.labelled.rows.values() for row in of_language]
        if not rows:
            return {}
        by_key = {(row.prompt.id, row.prompt.language): row.prompt for row in rows}
        responses = answers(rows, self.scorer.policy)
        rewards = self.scorer.reward(responses, by_key, "labelled answers")
        tables = {name: tabulated(responses, scored, {}) for name, scored in rewards.items()}
        return {code: self._of_labels(code, {n: by[code] for n, by in tables.items()}) for code in tables[self.main]}

    def _of_labels(self, code: str, tables: Mapping[str, Samples]) -> LabelledFigures:
        given, cut = ({name: t.responses(*k) for name, t in tables.items()} for k in ((0, 2), (2, 4)))
        return LabelledFigures(
            equal=self._accuracy(code, cut, equal_length=True),
            given=self._accuracy(code, given, equal_length=False),
            rows=len(self.labelled.rows[code]),
            skipped=dict(self.labelled.skipped[code]),
        )

    def _accuracy(self, code: str, tables: Mapping[str, Samples], *, equal_length: bool) -> Accuracies:
        rows = self.labelled.rows[code]
        return accuracies(
            tables,
            np.tile([1.0, 0.0], (len(rows), 1)),
            np.ones((len(rows), 2), bool),
            main=self.main,
            confidence=self.settings.diagnosis.confidence,
            tie=0,
            equal_length=equal_length,
            clusters=[row.cluster for row in rows],
            categories=[row.category for row in rows],
        )

    def _by_samples(self) -> dict[str, OwnFigures]:
        if not self.prompts:
            return {}
        by_key = {(prompt.id, prompt.language): prompt for prompt in self.prompts}
        responses = self.scorer.sample(self.prompts, self.doctor.own_responses)
        rewards = self.scorer.reward(responses, by_key, "own samples")
        second = next((name for name, p in self.scorer.prompts.items() if p == self.settings.second_prompt), None)
        return OwnSamples(self.settings, self.main, second, by_key, responses, rewards).figures()

    def _diagnosed(self, by_labels: LabelledFigures | None, by_samples: OwnFigures | None) -> Diagnosed:
        found = list(self._reasons(by_labels, by_samples))
        if not (by_labels or (by_samples and by_samples.judged)):
            found.append(Reason(Level.CAUTION, "unlabelled", UNLABELLED))
        return Diagnosed(Verdict.of(dict.fromkeys(found)), by_labels, by_samples)

    def _reasons(self, by_labels: LabelledFigures | None, by_samples: OwnFigures | None) -> Iterator[Reason]:
        """Why the language is no plain go. Equal rewards explain all else, and are said once."""
        limits = self.settings.diagnosis.limits
        if by_samples:
            figures = by_samples.figures[self.main]
            yield from reasons.of_samples(limits, figures)
            if reasons.tells_nothing(limits, figures[RoundMetric.EQUAL_REWARDS]):
                return
            for other, agreement in by_samples.agreement.items():
                yield from reasons.of_agreement(limits, agreement.order, self.main, other)
            if by_samples.judged:
                judged = by_samples.judged.by_prompt[self.main]
                yield from reasons.of_accuracy(limits, judged, "by the judge on own samples")
        if by_labels:
            if not by_samples:
                yield from reasons.of_log_ratio(limits, by_labels.given.by_prompt[self.main])
            accuracy, what = by_labels.equal.by_prompt[self.main], "by labels at equal length"
            if reason := reasons.equal_rewards(limits, accuracy.equal):
                yield reason
            if not reasons.tells_nothing(limits, accuracy.equal):
                yield from reasons.of_accuracy(limits, accuracy, what)
                yield from reasons.of_baselines(limits, accuracy, what)


def _of(prompts: Sequence[Prompt], code: str) -> list[Prompt]:
    return [prompt for prompt in prompts if prompt.language == code]
