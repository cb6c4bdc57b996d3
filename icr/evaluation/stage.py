"""Evaluation as two stages of the run directory: answers are sampled, and judged."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from icr import distributed
from icr.judges import Comparison, PairwiseJudge, Verdict
from icr.models import LoadedModel
from icr.progress import progress
from icr.rounds.gates import ResponseGate
from icr.rundir import ResponseTable, RunDirectory, Table
from icr.rundir.layout import evaluation_stage
from icr.sampling.decoding import OnBatch, Seed
from icr.types import Prompt, Response

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JudgedResponse:
    """One evaluated answer beside its opponent, and the verdict on them.

    Attributes:
        id, language, prompt: of the prompt, and its text.
        text: the answer.
        tokens, characters: its length, of the sampled ids (None where others have sampled it) and of the text.
        score: by a judge that scores; else None.
        opponent: the reference answer.
        opponent_score: as `score`.
        finish_reason: of the answer; `""` where others have sampled it.
        preference: `q` in [0, 1], 1 where the answer wins and 0.5 for a tie; None without a verdict.
        reason: why there is no verdict; `""` where there is one.
        shown_first, shown_second: `q` by the order in which the answer was shown; None where the judge has no orders.
        off_language: whether the answer is in another language than its prompt; None where nobody has looked.
    """

    id: str
    language: str
    prompt: str
    text: str
    tokens: int | None
    characters: int
    score: float | None
    opponent: str
    opponent_score: float | None
    finish_reason: str
    preference: float | None
    reason: str
    shown_first: float | None = None
    shown_second: float | None = None
    off_language: bool | None = None


class Answering(Protocol):
    """What answers prompts, such as a `Sampler`."""

    @property
    def prompts_per_part(self) -> int: ...

    def sample(self, policy: LoadedModel, prompts: Sequence[Prompt], seed: Seed, on_batch: OnBatch) -> list[Response]:
        """Responses to each prompt, in the order given; `on_batch` is told of prompts that are finished."""

    def release(self) -> None:
        """Free what was started."""


def answered(
    store: RunDirectory,
    stage: str,
    load: Callable[[], LoadedModel],
    prompts: Sequence[Prompt],
    *,
    sampler: Answering,
    seed: Seed,
    what: str,
) -> list[Response]:
    """A stage of a model's answers to all prompts, such as `answers/<name>`, saved part by part.

    Sampling is shared out over the processes of the run.

    Args:
        store: the run directory.
        stage: its name.
        load: loads the model, once the first part is to be sampled.
        prompts: of all languages.
        sampler: released at the end.
        seed: of the answers.
        what: names the work in its progress bar.
    """
    loaded = cache(load)
    table = ResponseTable(Response, {(prompt.id, prompt.language): prompt for prompt in prompts})
    with progress(len(prompts), what) as update:

        def make(part: Sequence[Prompt]) -> list[Response]:
            return distributed.gather_to_rank0(sampler.sample(loaded(), distributed.shard(part), seed, update))

        try:
            at_a_time = sampler.prompts_per_part * distributed.size()
            return store.rows_by_prompt(stage, table, prompts, at_a_time, make)
        finally:
            sampler.release()


def judged(
    store: RunDirectory,
    name: str,
    responses: Sequence[Response],
    prompts: Sequence[Prompt],
    *,
    judge: PairwiseJudge,
    references: Mapping[tuple[str, str], str],
    language_check: ResponseGate | None = None,
) -> list[JudgedResponse]:
    """The stage `evaluation/<name>`: answers, each compared with the reference answer to its prompt.

    Rank 0 alone asks the judge, all at once.

    Args:
        store: the run directory.
        name: of the model in tables.
        responses: its answers.
        prompts: of all languages.
        references: the reference answer to each prompt, by id and language.
        language_check: refuses what is in another language.
    """

    def make() -> list[JudgedResponse]:
        if distributed.rank() != 0:
            return []
        by_key = {(prompt.id, prompt.language): prompt for prompt in prompts}
        comparisons = [Comparison(by_key[r.id, r.language], r.text, references[r.id, r.language]) for r in responses]
        verdicts = judge.compare(comparisons)
        return [
            _row(response, comparison, verdict, language_check)
            for response, comparison, verdict in zip(responses, comparisons, verdicts, strict=True)
        ]

    rows = store.rows(evaluation_stage(name), Table(JudgedResponse), make)
    reasons = Counter(row.reason for row in rows if row.preference is None)
    if reasons:
        listed = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
        log.warning("%s: %d of %d comparisons have no verdict (%s)", name, reasons.total(), len(rows), listed)
    return rows


def _row(
    response: Response, comparison: Comparison, verdict: Verdict, language_check: ResponseGate | None
) -> JudgedResponse:
    return JudgedResponse(
        id=response.id,
        language=response.language,
        prompt=comparison.prompt.text,
        text=response.text,
        tokens=len(response.response_ids) or None,
        characters=len(response.text),
        score=verdict.score,
        opponent=comparison.reference,
        opponent_score=verdict.reference_score,
        finish_reason=response.finish_reason,
        preference=verdict.preference,
        reason=verdict.reason,
        shown_first=verdict.shown_first,
        shown_second=verdict.shown_second,
        off_language=None if language_check is None else not language_check(response.language, response.text),
    )
