"""What a diagnosis of the run's reward will take (`icr doctor diagnose`): of own samples, and of labelled answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icr.config import Settings
from icr.data import RewardPrompt, labelled
from icr.doctor.plan.counts import Counts
from icr.doctor.plan.memory import Memory
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
    """Those of `doctor.labelled`, also of rows that the diagnosis will leave out; None without.

    Args:
        asked, answered: tokens of a prompt, and of an answer.

    Raises:
        DataError: they cannot be read.
    """
    if doctor.labelled is None:
        return None
    given = labelled.read(Path(doctor.labelled), settings.langs.codes, doctor.labelled_rows, key="doctor.labelled")
    rows = [row for of_language in given.rows.values() for row in of_language]
    prompts = [[asked(prompt.text(row.prompt)) for row in rows] for prompt in _prompts(settings)]
    return LabelledLengths(
        np.array(prompts), np.array([[answered(row.chosen), answered(row.rejected)] for row in rows])
    )


def diagnosis(counts: Counts, memory: Mapping[str, Memory], given: LabelledLengths | None) -> list[Phase]:
    """Its phases, by name, those that there are: `sampling` and `scoring` of own samples, `labelled answers`, and
    `translation` of all of them for reward prompts that sample.

    Args:
        memory: of a round's phases.
    """
    settings, doctor, planned = counts.settings, counts.doctor, counts.memory
    prompts = _prompts(settings)
    found, requests = [], []
    if settings.samples and doctor.own_prompts:
        languages, n = counts.work.languages.values(), doctor.own_responses
        own = np.concatenate([lengths.prompts[: doctor.own_prompts] for lengths in languages])
        rewarded = np.concatenate([lengths.rewards[: doctor.own_prompts] for lengths in languages])
        tokens, flops = (len(prompts) * one for one in counts.rows(rewarded, n, planned.scorer.shares_prompts))
        found.append(counts.sampling_of("sampling", own, n, memory["sampling"]))
        found.append(counts.scoring_of("scoring", tokens, flops, memory.get("scoring") or planned.scoring()))
        requests.append(np.repeat(own + counts.mean, n))
    if given:
        scoring = memory.get("scoring") or planned.scoring()
        found.append(counts.scoring_of("labelled answers", *_labelled(counts, given), scoring))
        # Translated they are as given, and cut to equal length.
        requests.append(np.repeat(given.prompts[0][:, None] + given.answers, 2))
    if requests and (translators := sum(prompt.samples for prompt in prompts)):
        every = np.tile(np.concatenate(requests), translators)
        found.append(counts.sampling_of("translation", every, 1, memory.get("sampling") or planned.sampling()))
    return found


def _prompts(settings: Settings) -> list[RewardPrompt]:
    """The reward prompts that are compared: the run's own first, then those of the diagnosis and of a gate."""
    found = [settings.reward_prompt]
    for prompt in (*settings.diagnosis.reward_prompts.values(), settings.second_prompt):
        if prompt and prompt not in found:
            found.append(prompt)
    return found


def _labelled(counts: Counts, given: LabelledLengths) -> tuple[float, float]:
    """Tokens and FLOPs of one model. Cut to equal length an answer costs nothing: it is the beginning of another."""
    rows = 1 if counts.memory.scorer.shares_prompts else 2
    answers = given.answers.sum(1)
    tokens = float((rows * given.prompts + answers).sum())
    squares = float((rows * (given.prompts + answers / rows) ** 2).sum())
    return tokens, counts.cost.forward(tokens, len(given.prompts) * float(answers.sum()), squares)
