"""Reward accuracy of several reward prompts on one set of responses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from icr import distributed
from icr.evaluation.accuracy import reward_accuracy
from icr.evaluation.win_rate import by_language, with_mean
from icr.judges import Answer, PointwiseJudge
from icr.models import LoadedModel
from icr.progress import progress
from icr.rounds import Annotator
from icr.rundir import RunDirectory, Table
from icr.rundir.layout import accuracy_stage
from icr.types import Prompt, Response, ScoredResponse

log = logging.getLogger(__name__)


def rewards_under(
    store: RunDirectory,
    name: str,
    annotator: Annotator,
    load: Callable[[], LoadedModel],
    responses: Sequence[Response],
    prompts: Mapping[tuple[str, str], Prompt],
    *,
    together: int,
) -> list[ScoredResponse]:
    """The stage `evaluation/rewards_<name>`: rewards of responses under another reward prompt than the run's own.

    Args:
        store: the run directory.
        name: of the reward prompt.
        annotator: scores under it.
        load: loads the policy that the responses are of.
        prompts: by id and language.
        together: responses per prompt, which one process scores.
    """

    def make() -> list[ScoredResponse]:
        policy = load()
        with progress(len(responses) * annotator.passes, f"{name} reward · scoring") as update:
            mine = distributed.shard(responses, together=together)
            scored = annotator.annotate(mine, prompts, policy, update)
        annotator.release()
        return distributed.gather_to_rank0(scored)

    return store.rows(accuracy_stage(name), Table(ScoredResponse), make)


def reward_accuracies(
    judge: PointwiseJudge,
    responses: Sequence[Response],
    prompts: Mapping[tuple[str, str], Prompt],
    rewards: Mapping[str, Sequence[ScoredResponse]],
) -> dict[str, dict[str, float]]:
    """How well each reward prompt orders the responses to a prompt, by the judge: `[reward prompt][language]`.

    The judge scores each response once, on rank 0, whatever the number of reward prompts. Responses that it gives no
    score take no part, and their number is logged.

    Args:
        responses: several per prompt.
        prompts: by id and language.
        rewards: of these responses, in order, by the name of the reward prompt.
    """
    if not rewards:
        return {}
    answers = [Answer(prompts[response.id, response.language], response.text) for response in responses]
    scores = distributed.on_rank0(lambda: judge.score(answers))
    scored = [(row, score.value) for row, score in enumerate(scores) if score.value is not None]
    if len(scored) < len(scores):
        log.warning("reward accuracy: %d of %d responses have no score", len(scores) - len(scored), len(scores))
    ids = [responses[row].id for row, _ in scored]
    languages = [responses[row].language for row, _ in scored]
    values = [value for _, value in scored]
    return {
        name: with_mean(by_language(reward_accuracy, languages, [given[row].reward for row, _ in scored], values, ids))
        for name, given in rewards.items()
    }
