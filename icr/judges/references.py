"""Where reference answers come from: the fixed answers that a model's own are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from icr.errors import DataError
from icr.types import Prompt


class ReferenceAnswers(Protocol):
    """A source of reference answers. Key `evaluation.references`."""

    def answers(self, prompts: Sequence[Prompt]) -> Mapping[tuple[str, str], str]:
        """The reference answer to each prompt, by id and language; prompts that it has none for are left out."""


def reference_answers(source: ReferenceAnswers, prompts: Sequence[Prompt]) -> Mapping[tuple[str, str], str]:
    """The reference answer to every prompt, by id and language.

    Raises:
        DataError: a prompt has none; the first is named, and how many there are.
    """
    answers = source.answers(prompts)
    missing = [prompt for prompt in prompts if (prompt.id, prompt.language) not in answers]
    if missing:
        first = missing[0]
        raise DataError(
            f"evaluation.references: {len(missing)} of {len(prompts)} evaluation prompts have no reference answer, the "
            f"first of them {first.id!r} in {first.language!r}. Add the answers, or evaluate on prompts that have one."
        )
    return answers
