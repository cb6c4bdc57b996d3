"""Evaluation as a stage of the run directory: sample, judge, keep the rows."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from icr import distributed
from icr.judges import Comparison, PairwiseJudge, ReferenceAnswers, Verdict, reference_answers
from icr.models import LoadedModel
from icr.progress import progress
from icr.rundir import RunDirectory, Table
from icr.rundir.layout import evaluation_stage
from icr.sampling import Sampler
from icr.sampling.decoding import Seed
from icr.types import Prompt, Response

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JudgedResponse:
    """One evaluated answer beside its opponent, and the verdict on them.

    Attributes:
        id, language, prompt: of the prompt, and its text.
        text: the answer.
        tokens, characters: its length, of the sampled ids and of the text.
        score: by a judge that scores; else None.
        opponent: the reference answer.
        opponent_score: as `score`.
        finish_reason: of the answer.
        preference: `q` in [0, 1], 1 where the answer wins and 0.5 for a tie; None without a verdict.
        reason: why there is no verdict; `""` where there is one.
    """

    id: str
    language: str
    prompt: str
    text: str
    tokens: int
    characters: int
    score: float | None
    opponent: str
    opponent_score: float | None
    finish_reason: str
    preference: float | None
    reason: str


def evaluate(
    store: RunDirectory,
    name: str,
    load: Callable[[], LoadedModel],
    prompts: Sequence[Prompt],
    *,
    sampler: Sampler,
    judge: PairwiseJudge,
    references: ReferenceAnswers,
    seed: Seed,
) -> list[JudgedResponse]:
    """The stage `evaluation/<name>`: answers to all prompts, each compared with its reference answer.

    Sampling is shared out over the processes of the run; rank 0 alone asks the judge, all at once.

    Args:
        store: the run directory.
        name: of the model in tables.
        load: loads it.
        prompts: of all languages.
        sampler: decodes `n` answers per prompt; released at the end.
        seed: of the answers.

    Raises:
        DataError: a prompt has no reference answer; seen before the model is loaded.
    """

    def make() -> list[JudgedResponse]:
        opponents = reference_answers(references, prompts)
        model = load()
        with progress(len(prompts), f"{name} · evaluation") as update:
            try:
                responses = sampler.sample(model, distributed.shard(prompts), seed, update)
            finally:
                sampler.release()
        by_key = {(prompt.id, prompt.language): prompt for prompt in prompts}
        gathered = distributed.gather_to_rank0(responses)
        comparisons = [Comparison(by_key[r.id, r.language], r.text, opponents[r.id, r.language]) for r in gathered]
        return [_row(*judged) for judged in zip(gathered, comparisons, judge.compare(comparisons), strict=True)]

    rows = store.rows(evaluation_stage(name), Table(JudgedResponse), make)
    reasons = Counter(row.reason for row in rows if row.preference is None)
    if reasons:
        listed = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
        log.warning("%s: %d of %d comparisons have no verdict (%s)", name, reasons.total(), len(rows), listed)
    return rows


def _row(response: Response, comparison: Comparison, verdict: Verdict) -> JudgedResponse:
    return JudgedResponse(
        id=response.id,
        language=response.language,
        prompt=comparison.prompt.text,
        text=response.text,
        tokens=len(response.response_ids),
        characters=len(response.text),
        score=verdict.score,
        opponent=comparison.reference,
        opponent_score=verdict.reference_score,
        finish_reason=response.finish_reason,
        preference=verdict.preference,
        reason=verdict.reason,
    )
