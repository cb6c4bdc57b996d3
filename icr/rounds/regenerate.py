"""One round's data, as functions over a run directory: sample, reward, choose, and the training reference's log-probs.

Each is a stage of the run directory, made once. Prompts, responses and pairs are shared out over the processes of the
run and gathered on rank 0.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import nan

from icr import distributed
from icr.data.datamodule import PairMicroBatches
from icr.errors import RunError
from icr.losses import Objective
from icr.models import LoadedModel, Loader, residency
from icr.models.arithmetic import Arithmetic
from icr.progress import progress
from icr.rewards import Choices, LengthPenalty, Pairing, apply_gate, choose_pairs
from icr.rounds import pairs
from icr.rounds.annotate import Annotator
from icr.rounds.gates import Gate
from icr.rounds.reference import reference_logps, with_reference_logps
from icr.rundir import PairTable, ResponseTable, RunDirectory, Table
from icr.rundir.layout import RoundStages, round_folder, round_stages
from icr.sampling import Sampler
from icr.types import PreferencePair, Prompt, Response, ScoredResponse

log = logging.getLogger(__name__)

PART = 64
"""Prompts per process that are scored between two saves."""

LONG_PART = 1024
"""Prompts per process that are scored between two saves where every part loads the reward pair anew."""


@dataclass(frozen=True)
class RoundData:
    """Where the data of a round come from and go to.

    Attributes:
        store: the run directory.
        round: number of the round.
        prompts: of all languages.
        seed: of the run and round.
    """

    store: RunDirectory
    round: int
    prompts: Sequence[Prompt]
    seed: tuple[object, ...]

    @property
    def name(self) -> str:
        """What the log calls the round."""
        return round_folder(self.round)

    @property
    def stages(self) -> RoundStages:
        """Names of the round's stages."""
        return round_stages(self.round)

    @property
    def by_key(self) -> dict[tuple[str, str], Prompt]:
        """Prompts by id and language."""
        return {(prompt.id, prompt.language): prompt for prompt in self.prompts}


def sample(data: RoundData, sampler: Sampler, policy: LoadedModel) -> list[Response]:
    """The stage `responses`: `K` per prompt."""
    with progress(len(data.prompts), f"{data.name} · sampling") as update:

        def make(prompts: Sequence[Prompt]) -> list[Response]:
            return distributed.gather_to_rank0(sampler.sample(policy, distributed.shard(prompts), data.seed, update))

        at_a_time = sampler.prompts_per_part * distributed.size()
        table = ResponseTable(Response, data.by_key)
        try:
            return data.store.rows_by_prompt(data.stages.responses, table, data.prompts, at_a_time, make)
        finally:
            sampler.release()


def reward(
    data: RoundData,
    responses: Sequence[Response],
    annotator: Annotator,
    policy: LoadedModel,
    part: int = PART,
    *,
    second: bool = False,
) -> list[ScoredResponse]:
    """The stage `rewards`, or `second_rewards`: one per response.

    Args:
        part: prompts per process that are scored between two saves.
        second: whether these are the rewards that a gate compares the first ones with.
    """
    stage = data.stages.second_rewards if second else data.stages.rewards
    by_key = data.by_key
    of_prompt: dict[tuple[str, str], list[Response]] = {}
    for response in responses:
        of_prompt.setdefault((response.id, response.language), []).append(response)
    with progress(len(responses) * annotator.passes, f"{data.name} · scoring") as update:

        def make(prompts: Sequence[Prompt]) -> list[ScoredResponse]:
            # All responses to a prompt on one rank: equal ones get equal rewards, and share a pass over it.
            mine = [response for p in distributed.shard(prompts) for response in of_prompt[p.id, p.language]]
            return distributed.gather_to_rank0(annotator.annotate(mine, by_key, policy, update))

        at_a_time = part * distributed.size()
        table = Table(ScoredResponse)
        made_of = {place: [response.response_ids for response in mine] for place, mine in of_prompt.items()}
        scored = data.store.rows_by_prompt(stage, table, data.prompts, at_a_time, make, made_of)
    annotator.release()
    return scored


def chosen(
    responses: Sequence[Response],
    scored: Sequence[ScoredResponse],
    *,
    length_control: LengthPenalty,
    gate: Gate | None,
    pairing: Pairing,
    second: Sequence[ScoredResponse] | None = None,
    round: int = 0,
) -> tuple[Sequence[ScoredResponse], Choices]:
    """The scored responses behind a gate of responses, and the pairs that are made of them; arguments as `choose`."""
    texts = {(r.id, r.language, r.k): r.text for r in responses}
    gated = apply_gate(scored, texts, gate, gate.reason) if gate and gate.checks == "responses" else scored
    others = None if second is None else {(s.id, s.language, s.k): s.reward if s.usable else nan for s in second}
    choices = choose_pairs(gated, pairing, length_control, round=round, texts=texts, second=others)
    return gated, pairs.without_identical(choices, responses)


def choose(
    data: RoundData,
    responses: Sequence[Response],
    scored: Sequence[ScoredResponse],
    *,
    length_control: LengthPenalty,
    gate: Gate | None,
    pairing: Pairing,
    second: Sequence[ScoredResponse] | None = None,
) -> list[PreferencePair]:
    """The stages `skipped` and `length_control`, and the pairs: without the training reference's log-probs yet.

    Args:
        second: rewards that have to order a pair as `scored` does, where the gate is one of pairs.

    Raises:
        RunError: no prompt gives a pair; the reasons are listed with their counts.
    """
    gated, choices = chosen(
        responses, scored, length_control=length_control, gate=gate, pairing=pairing, second=second, round=data.round
    )
    curves = {language: result.as_dict() for language, result in choices.length_control.items()}
    data.store.json(data.stages.skipped, lambda: choices.skipped)
    data.store.json(data.stages.length_control, lambda: curves)
    reasons = _reasons(choices)
    if not choices.pairs:
        raise RunError(
            f"{data.name} has no usable pair among {len(data.prompts)} prompts: {reasons}. Sample more or longer "
            "responses (sampling.n, sampling.max_new_tokens, sampling.temperature) or loosen the gates."
        )
    log.info("%s: %d pairs from %d prompts (%s)", data.name, len(choices.pairs), len(data.prompts), reasons)
    return pairs.from_choices(choices, responses, gated, data.by_key)


def reference(
    store: RunDirectory,
    round: int,
    made: Sequence[PreferencePair],
    objective: Objective,
    policy: LoadedModel,
    *,
    path: str | None,
    loader: Loader,
    arithmetic: Arithmetic,
    one_pass: Callable[[Sequence[PreferencePair]], PairMicroBatches],
    context: int | None = None,
) -> list[PreferencePair]:
    """The stage `pairs`: with the training reference's log-probs, where the objective asks for them.

    Args:
        round: number of the round.
        policy: the round's start.
        path: of the training reference; None where that is the policy as it stands.
        arithmetic: of the training.
        one_pass: plans the training's micro-batches of pairs, each pair once.
        context: positions of the model; None where it states none.
    """

    def make() -> Sequence[PreferencePair]:
        if not objective.needs_reference:
            return made
        rows = _partnered(made, context, round_folder(round)) if objective.needs_partner else made
        opened = residency.beside(loader, path, policy) if path else nullcontext(policy)
        with opened as model, progress(len(rows), f"{round_folder(round)} · reference") as update:
            known = distributed.all_gather(reference_logps(one_pass(rows), model, arithmetic, update))
        return with_reference_logps(rows, known)

    return store.rows(round_stages(round).pairs, PairTable(PreferencePair), make)


def _partnered(made: Sequence[PreferencePair], context: int | None, name: str) -> list[PreferencePair]:
    rows = pairs.with_partners(made, context)
    if alone := sum(not row.partner for row in rows):
        log.info("%s: %d of %d pairs have no partner that fits, and no part in the KL estimate", name, alone, len(rows))
    return rows


def _reasons(choices: Choices) -> str:
    totals: dict[str, int] = {}
    for reasons in choices.skipped.values():
        for reason, count in reasons.items():
            totals[reason] = totals.get(reason, 0) + count
    return ", ".join(f"{reason}: {count}" for reason, count in totals.items()) or "nothing skipped"
