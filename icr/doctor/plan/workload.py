"""How much a run has to do: its prompts in tokens, read where they are and assumed where they are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np

from icr.config import Settings
from icr.data import ParallelPrompts
from icr.data.context import fits
from icr.data.files import given
from icr.doctor.settings import DoctorSettings
from icr.errors import ConfigError, DataError, ModelError
from icr.models.rendering import Renderer
from icr.progress import progress
from icr.types import Demonstration, Preference, Prompt

TEMPLATE_TOKENS = 12
"""Assumed of a chat template that is not there."""
BYTES_PER_TOKEN = 3.0
"""Assumed of a tokenizer that is not there."""
Tokens = Callable[[str], int]


@dataclass(frozen=True)
class Lengths:
    """Token counts of one language's prompts.

    Attributes:
        prompts: of each prompt as it is answered. Shape `[N]`.
        rewards: of the same as it is scored. Shape `[N]`.
        characters: of all prompts together, template apart.
        skipped: prompts that do not fit the context.
    """

    prompts: np.ndarray
    rewards: np.ndarray
    characters: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Workload:
    """What a round works on.

    Attributes:
        languages: lengths by language code.
        mean_response, longest_response: tokens of the answers that are given, or expected of those that are sampled.
        source: where the figures come from: `read`, `estimated` (no tokenizer) or `assumed` (no prompts).
        notes: what was assumed, and why.
    """

    languages: Mapping[str, Lengths]
    mean_response: float
    longest_response: int
    source: str
    notes: tuple[str, ...] = field(default=())

    @property
    def count(self) -> int:
        """Number of prompts of all languages."""
        return sum(len(lengths.prompts) for lengths in self.languages.values())

    @property
    def prompts(self) -> np.ndarray:
        """Lengths of all prompts."""
        return np.concatenate([lengths.prompts for lengths in self.languages.values()])

    @property
    def rewards(self) -> np.ndarray:
        """Lengths of all reward prompts."""
        return np.concatenate([lengths.rewards for lengths in self.languages.values()])


def workload(settings: Settings, doctor: DoctorSettings, renderer: Renderer | None, context: int | None) -> Workload:
    """Read the prompts; where they, or the tokenizer, are not on this machine, say so and go by what can be had.

    Args:
        renderer: None where there is no tokenizer.
        context: most positions of the model; None where it states none.
    """
    try:
        prompts = prompts_of(settings)
    except (DataError, ConfigError, ModelError) as error:
        return _assumed(settings, doctor, context, str(error))
    if renderer is None:
        how = f"{BYTES_PER_TOKEN:g} per token"
        note = f"tokens are estimated from bytes ({how}): the tokenizer is not on this machine"
        return _Reading(settings, doctor, context, *counters(None)).workload(prompts, "estimated", (note,))
    return _Reading(settings, doctor, context, *counters(renderer)).workload(prompts, "read", ())


def counters(renderer: Renderer | None) -> tuple[Tokens, Tokens]:
    """What counts the tokens of a prompt, and what those of an answer; without a tokenizer both are estimated."""
    if renderer is None:
        return _estimate, _estimate
    return lambda text: len(renderer.prompt_ids(text)), lambda text: len(renderer.response_ids(text))


def room(settings: Settings, context: int | None) -> tuple[str, str]:
    """What a prompt has to fit, in words, and what to do where it does not."""
    if not settings.samples:
        return f"a context of {context} tokens with the answers that are given", "Shorten or leave out what is longer."
    less = f"sampling.max_new_tokens={settings.sampling.max_new_tokens}"
    return f"a context of {context} tokens less {less}", "Lower sampling.max_new_tokens."


def prompts_of(settings: Settings) -> list[Prompt]:
    """The prompts of the run's stage; of demonstrations and preferences, what is answered in them.

    Raises:
        DataError, ConfigError: they cannot be read.
    """
    codes = settings.langs.codes
    if settings.data.provides == "prompts":
        return settings.data.prompts(codes, settings.stage.split).prompts
    return [Prompt(row.id, row.language, row.prompt, row.prompt) for row in given(settings.data, codes)]


def _estimate(text: str) -> int:
    return TEMPLATE_TOKENS + round(len(text.encode()) / BYTES_PER_TOKEN)


@dataclass
class _Reading:
    """Counts tokens.

    Attributes:
        settings, doctor: of the run and the plan.
        context: most positions of the model; None where it states none.
        asked, answered: tokens of a prompt, and of an answer.
    """

    settings: Settings
    doctor: DoctorSettings
    context: int | None
    asked: Tokens
    answered: Tokens

    def workload(self, prompts: Sequence[Prompt], source: str, notes: tuple[str, ...]) -> Workload:
        """That of these prompts, and of the answers that are given with them."""
        codes, limit = self.settings.langs.codes, self.settings.sampling.max_new_tokens
        answers = [[self.answered(text) for text in _texts(row)] for row in given(self.settings.data, codes)]
        counted = cache(self.asked)  # Demonstrations answer a prompt several times.
        kept: dict[str, list[_Row]] = {code: [] for code in codes}
        skipped = Counter[str]()
        with progress(len(prompts), "prompts") as update:
            for prompt, own in zip(prompts, answers or [[]] * len(prompts), strict=True):
                rewarded = counted(self.settings.reward_prompt.text(prompt))
                row = _Row(counted(prompt.text), rewarded, len(prompt.text), own)
                if fits(max(row.prompt, row.reward), self.context, max(own, default=limit)):
                    kept[prompt.language].append(row)
                else:
                    skipped[prompt.language] += 1
                update(1)
        every = [length for rows in kept.values() for row in rows for length in row.answers]
        mean = sum(every) / len(every) if every else self.doctor.mean_response(limit)
        languages = {code: _lengths(rows, skipped[code]) for code, rows in kept.items()}
        return Workload(languages, mean, max(every, default=limit), source, notes)


class _Row(NamedTuple):
    """Tokens of a prompt, as it is answered and as it is scored, its characters, and tokens of the answers given."""

    prompt: int
    reward: int
    characters: int
    answers: list[int]


def _texts(row: Demonstration | Preference) -> tuple[str, ...]:
    return (row.response,) if isinstance(row, Demonstration) else (row.chosen, row.rejected)


def _lengths(rows: Sequence[_Row], skipped: int) -> Lengths:
    prompts, rewards = (np.array([row[side] for row in rows], dtype=int) for side in (0, 1))
    return Lengths(prompts, rewards, sum(row.characters for row in rows), skipped)


def _assumed(settings: Settings, doctor: DoctorSettings, context: int | None, why: str) -> Workload:
    data = settings.data
    count = (data.prompts_per_language if isinstance(data, ParallelPrompts) else None) or doctor.prompts
    longest = max(doctor.prompt_tokens, (context or 0) - settings.sampling.max_new_tokens)
    prompts = np.full(count, doctor.prompt_tokens)
    prompts[0] = longest  # Memory goes by the longest.
    lengths = Lengths(prompts, prompts)
    note = (
        f"{count} prompts per language of {doctor.prompt_tokens} tokens are assumed (doctor.prompts, "
        f"doctor.prompt_tokens), one of them as long as the context allows: {why.rstrip('.')}"
    )
    limit = settings.sampling.max_new_tokens
    languages = dict.fromkeys(settings.langs.codes, lengths)
    return Workload(languages, doctor.mean_response(limit), limit, "assumed", (note,))
