"""How much a run has to do: its prompts in tokens, read where they are and assumed where they are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from icr.config import Settings
from icr.data import ParallelPrompts
from icr.data.context import fits
from icr.data.files import given
from icr.doctor.settings import DoctorSettings
from icr.errors import ConfigError, DataError, ModelError
from icr.models.rendering import Renderer
from icr.progress import progress
from icr.types import Prompt

TEMPLATE_TOKENS = 12
"""Assumed of a chat template that is not there."""
BYTES_PER_TOKEN = 3.0
"""Assumed of a tokenizer that is not there."""


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
        source: where the figures come from: `read`, `estimated` (no tokenizer) or `assumed` (no prompts).
        notes: what was assumed, and why.
    """

    languages: Mapping[str, Lengths]
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
        note = f"prompt tokens are estimated from bytes ({how}): the tokenizer is not on this machine"
        return _measured(settings, prompts, _estimate, context, "estimated", (note,))
    return _measured(settings, prompts, lambda text: len(renderer.prompt_ids(text)), context, "read", ())


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


def _measured(
    settings: Settings,
    prompts: Sequence[Prompt],
    tokens: Callable[[str], int],
    context: int | None,
    source: str,
    notes: tuple[str, ...],
) -> Workload:
    rows: dict[str, list[tuple[int, int, int]]] = {code: [] for code in settings.langs.codes}
    counted = cache(tokens)  # Demonstrations answer a prompt several times.
    with progress(len(prompts), "prompts") as update:
        for prompt in prompts:
            lengths = counted(prompt.text), counted(settings.reward_prompt.text(prompt)), len(prompt.text)
            rows[prompt.language].append(lengths)
            update(1)
    limit = settings.sampling.max_new_tokens
    return Workload({code: _lengths(values, context, limit) for code, values in rows.items()}, source, notes)


def _lengths(rows: Sequence[tuple[int, int, int]], context: int | None, max_new_tokens: int) -> Lengths:
    fitting = [row for row in rows if fits(max(row[:2]), context, max_new_tokens)]
    kept = np.array(fitting or np.empty((0, 3)), dtype=int)
    return Lengths(kept[:, 0], kept[:, 1], int(kept[:, 2].sum()), len(rows) - len(kept))


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
    return Workload(dict.fromkeys(settings.langs.codes, lengths), "assumed", (note,))
