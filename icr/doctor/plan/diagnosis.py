"""What a diagnosis of the run's reward will take (`icr doctor diagnose`): of own samples, and of labelled answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icr.config import Settings
from icr.data import labelled
from icr.doctor.diagnose.prompts import compared_prompts
from icr.doctor.plan.counts import Counts
from icr.doctor.plan.memory import MemoryPlan
from icr.doctor.plan.phases import Phase
from icr.doctor.plan.workload import Tokens
from icr.doctor.settings import DoctorSettings


@dataclass(frozen=True)
class LabelledLengths:
    """Token counts of labelled preferences.

    Attributes:
        prompts: of each prompt under each reward prompt. Shape `[P, N]`.
        answers: of chosen and rejected. Shape `[N, 2]`.
    """

    prompts: np.ndarray
    answers: np.ndarray


def labelled_lengths(
    settings: Settings, doctor: DoctorSettings, asked: Tokens, answered: Tokens
) -> LabelledLengths | None:
    """Those of `doctor.labelled`; None without.

    Args:
        asked, answered: tokens of a prompt, and of an answer.

    Raises:
        DataError: they cannot be read.
    """
    if doctor.labelled is None:
        return None
    given = labelled.read(Path(doctor.labelled), settings.langs.codes, doctor.labelled_rows, key="doctor.labelled")
    rows = [row for of_language in given.rows.values() for row in of_language]
    prompts = [[asked(prompt.text(row.prompt)) for row in rows] for prompt in compared_prompts(settings).values()]
    return LabelledLengths(
        np.array(prompts), np.array([[answered(row.chosen), answered(row.rejected)] for row in rows])
    )


def diagnosis(counts: Counts, memory: MemoryPlan, given: LabelledLengths | None) -> list[Phase]:
    """Its phases, by name: `sampling` and `scoring` of own samples, and `labelled answers`; those that there are."""
    settings, doctor = counts.settings, counts.doctor
    found = []
    if settings.samples and doctor.own_prompts:
        languages = counts.work.languages.values()
        own = np.concatenate([lengths.prompts[: doctor.own_prompts] for lengths in languages])
        rewarded = np.concatenate([lengths.rewards[: doctor.own_prompts] for lengths in languages])
        times = len(compared_prompts(settings))
        tokens, flops = counts.rows(rewarded, doctor.own_responses, memory.scorer.shares_prompts)
        found.append(counts.sampling_of("sampling", own, doctor.own_responses, memory.sampling()))
        found.append(counts.scoring_of("scoring", times * tokens, times * flops, memory.scoring()))
    if given:
        found.append(counts.scoring_of("labelled answers", *_labelled(counts, given), memory.scoring()))
    return found


def _labelled(counts: Counts, given: LabelledLengths) -> tuple[float, float]:
    """Tokens and FLOPs of one model. Cut to equal length an answer costs nothing: it is the beginning of another."""
    rows = 1 if counts.memory.scorer.shares_prompts else 2
    answers = given.answers.sum(1)
    tokens = float((rows * given.prompts + answers).sum())
    squares = float((rows * (given.prompts + answers / rows) ** 2).sum())
    return tokens, counts.cost.forward(tokens, len(given.prompts) * float(answers.sum()), squares)
