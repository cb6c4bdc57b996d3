"""Answers with what can be seen of each without a judge, as a stage of the run directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icr import distributed
from icr.evaluation.repetition import repeats
from icr.progress import progress
from icr.rounds.gates import ResponseGate
from icr.rundir import RunDirectory, Table
from icr.rundir.benchmarks import described_stage
from icr.types import Prompt, Response


@dataclass(frozen=True, slots=True)
class DescribedAnswer:
    """One answer.

    Attributes:
        id, language, prompt: of the prompt, and its text.
        k: which of the answers to it, from 0.
        text: the answer.
        tokens, characters: its length, of the sampled ids (None where others have sampled it) and of the text.
        finish_reason: `"stop"`, `"length"` where the token limit cut it; `""` where others have sampled it.
        repeats: whether it runs in circles.
        off_language: whether it is in another language than its prompt; None where nobody has looked.
    """

    id: str
    language: str
    prompt: str
    k: int
    text: str
    tokens: int | None
    characters: int
    finish_reason: str
    repeats: bool
    off_language: bool | None


def described(
    store: RunDirectory,
    name: str,
    responses: Sequence[Response],
    prompts: Sequence[Prompt],
    language_check: ResponseGate | None,
) -> list[DescribedAnswer]:
    """The stage `described/<name>`: one row per answer, in order. Rank 0 alone looks at them.

    Args:
        store: the run directory.
        name: of the model in tables.
        responses: its answers.
        prompts: of all languages.
        language_check: refuses what is in another language; None does not look.
    """

    def make() -> list[DescribedAnswer]:
        if distributed.rank() != 0:
            return []
        texts = {(prompt.id, prompt.language): prompt.text for prompt in prompts}
        rows = []
        with progress(len(responses), f"{name} · reading answers", shared=False) as update:
            for response in responses:
                rows.append(_row(response, texts[response.id, response.language], language_check))
                update(1)
        return rows

    return store.rows(described_stage(name), Table(DescribedAnswer), make)


def _row(response: Response, prompt: str, language_check: ResponseGate | None) -> DescribedAnswer:
    return DescribedAnswer(
        id=response.id,
        language=response.language,
        prompt=prompt,
        k=response.k,
        text=response.text,
        tokens=len(response.response_ids) or None,
        characters=len(response.text),
        finish_reason=response.finish_reason,
        repeats=repeats(response.text),
        off_language=None if language_check is None else not language_check(response.language, response.text),
    )
