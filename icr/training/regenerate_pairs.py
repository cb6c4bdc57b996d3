"""Where a round's pairs come from: callbacks that hand them to the data module before Lightning asks for a loader."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from icr import distributed
from icr.errors import RunError
from icr.models import residency
from icr.models.loading import LoadedModel, Loader
from icr.models.rendering import Renderer
from icr.progress import progress
from icr.rewards import Choices, LengthPenalty, Pairing, apply_gate, choose_pairs
from icr.rounds import pairs
from icr.rounds.annotate import Annotator
from icr.rounds.gates import Gate
from icr.rundir import fingerprint
from icr.rundir.store import RunDirectory
from icr.rundir.tables import PairTable, ResponseTable, Table
from icr.types import PreferencePair, Prompt, Response, ScoredResponse

log = logging.getLogger(__name__)

PART = 64
"""Prompts a process that are scored between two saves."""

LONG_PART = 1024
"""Prompts a process that are scored between two saves where every part loads the reward pair anew."""


@dataclass
class PairCallback(Callback, ABC):
    """Makes the pairs of one training and hands them to the data module in `setup`.

    That is Lightning's first hook: nothing is wrapped, sharded or restored from a checkpoint yet, so that the policy is
    an ordinary model with the weights that the round starts from, whatever the strategy. Prompts, responses and pairs
    are shared out over the processes of the run and gathered on rank 0.

    Attributes:
        store: the run directory.
        name: folder of the round in it, such as `round_0`.
        policy: the training's start, sharing its weights with the module in training.
        training_reference: path of the model whose log-probs are the training reference; `None` where that is the
            policy as it stands.
        loader: how that model is loaded.
        tokens_per_batch: token budget of a scoring pass.
        seed: of the run and round.
    """

    store: RunDirectory
    name: str
    policy: LoadedModel
    training_reference: str | None
    loader: Loader
    tokens_per_batch: int
    seed: tuple

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the pairs, or read them back, and plan the training on them.

        Raises:
            RunError: there is no pair to train on.
        """
        objective = pl_module.objective
        made = self._stored(self.make_pairs(objective), objective)
        trainer.datamodule.set_pairs(made, objective, self.seed)

    @abstractmethod
    def make_pairs(self, objective: Any) -> list[PreferencePair]:
        """The pairs without reference log-probs."""

    def _stored(self, made: list[PreferencePair], objective: Any) -> list[PreferencePair]:
        """The stage `pairs`: with the training reference's log-probs, where the objective asks for them."""
        content = [(pair.key, pair.prompt, pair.chosen, pair.rejected) for pair in made]
        inputs: dict[str, Any] = {"pairs": fingerprint.of_value(content)}
        if objective.needs_reference:
            inputs["training_reference"] = fingerprint.of_model(self.training_reference or self.policy.path)
            inputs["partners"] = objective.needs_partner

        def make() -> list[PreferencePair]:
            return self._with_reference(made, objective.needs_partner) if objective.needs_reference else made

        return self.store.rows(f"{self.name}/pairs", PairTable(PreferencePair), inputs, make)

    def _with_reference(self, made: list[PreferencePair], partners: bool) -> list[PreferencePair]:
        rows = pairs.with_partners(made) if partners else made
        path = self.training_reference
        opened = residency.beside(self.loader, path, self.policy) if path else nullcontext(self.policy)
        total = len(rows) * (4 if partners else 2)
        with opened as reference, progress(total, f"{self.name} · reference") as update:
            known = pairs.with_reference_logps(
                distributed.shard(rows),
                reference,
                partners=partners,
                tokens_per_batch=self.tokens_per_batch,
                on_batch=update,
                among=rows,
            )
        return distributed.gather_to_rank0(known)


@dataclass
class RegeneratePairs(PairCallback):
    """Samples responses to the prompts, annotates them, controls their length and pairs them: one round's data.

    Each step is a stage of the run directory: `responses`, `rewards`, `length_control`, `pairs`. `scored_together` is
    the number of prompts whose responses are scored between two saves.
    """

    prompts: Sequence[Prompt]
    sampler: Any
    annotator: Annotator
    length_control: LengthPenalty
    gate: Gate | None
    pairing: Pairing
    round: int
    scored_together: int = PART

    def make_pairs(self, objective: Any) -> list[PreferencePair]:
        """Sample → annotate → control length → pair.

        Raises:
            RunError: no prompt gives a pair; the reasons are listed with their counts.
        """
        by_key = {(prompt.id, prompt.language): prompt for prompt in self.prompts}
        responses = self._responses(by_key)
        scored = self._rewards(responses, by_key)
        texts = {(r.id, r.language, r.k): r.text for r in responses}
        if self.gate:
            scored = apply_gate(scored, texts, self.gate, self.gate.reason)
        choices = choose_pairs(scored, self.pairing, self.length_control, round=self.round, texts=texts)
        choices = pairs.without_identical(choices, responses)
        self._record(choices)
        if not choices.pairs:
            raise RunError(
                f"{self.name} has no usable pair among {len(by_key)} prompts: {_reasons(choices)}. Sample more or "
                "longer responses (sampling.n, sampling.max_new_tokens, sampling.temperature) or loosen the gates."
            )
        log.info("%s: %d pairs from %d prompts (%s)", self.name, len(choices.pairs), len(by_key), _reasons(choices))
        return pairs.from_choices(choices, responses, scored, by_key)

    def _responses(self, by_key: dict) -> list[Response]:
        with progress(len(self.prompts), f"{self.name} · sampling") as update:

            def sample(chunk: Sequence[Prompt]) -> list[Response]:
                return distributed.gather_to_rank0(
                    self.sampler.sample(self.policy, distributed.shard(chunk), self.seed, update)
                )

            inputs = {
                "policy": fingerprint.of_model(self.policy.path),
                "prompts": fingerprint.of_value([(p.id, p.language, p.text) for p in self.prompts]),
                "sampling": fingerprint.of_object(self.sampler),
                "seed": list(self.seed),
            }
            size = self.sampler.prompts_per_part * distributed.size()
            parts = [lambda chunk=chunk: sample(chunk) for chunk in _chunks(self.prompts, size)]
            table = ResponseTable(Response, by_key)
            try:
                return self.store.rows_in_parts(f"{self.name}/responses", table, inputs, parts)
            finally:
                self.sampler.release()

    def _rewards(self, responses: list[Response], by_key: dict) -> list[ScoredResponse]:
        with progress(len(responses) * 2, f"{self.name} · scoring") as update:

            def annotate(chunk: Sequence[Response]) -> list[ScoredResponse]:
                # All responses to a prompt on one rank: equal ones get equal rewards, and share a pass over it.
                mine = distributed.shard(chunk, together=self.sampler.n)
                return distributed.gather_to_rank0(self.annotator.annotate(mine, by_key, self.policy, update))

            inputs = {"responses": self.store.version(f"{self.name}/responses"), **self.annotator.inputs()}
            size = self.scored_together * distributed.size() * self.sampler.n
            parts = [lambda chunk=chunk: annotate(chunk) for chunk in _chunks(responses, size)]
            scored = self.store.rows_in_parts(f"{self.name}/rewards", Table(ScoredResponse), inputs, parts)
        self.annotator.release()
        return scored

    def _record(self, choices: Choices) -> None:
        inputs = {
            "rewards": self.store.version(f"{self.name}/rewards"),
            "length_control": fingerprint.of_object(self.length_control),
            "gate": fingerprint.of_object(self.gate),
            "pairing": fingerprint.of_object(self.pairing),
        }
        self.store.json(f"{self.name}/skipped", inputs, lambda: choices.skipped)
        curves = {language: result.as_dict() for language, result in choices.length_control.items()}
        self.store.json(f"{self.name}/length_control", inputs, lambda: curves)


@dataclass
class GivenPairs(PairCallback):
    """Trains on pairs that were there before the run: demonstrations or labelled preferences."""

    make: Callable[[Renderer], list[PreferencePair]]
    context: int | None

    def make_pairs(self, objective: Any) -> list[PreferencePair]:
        """The pairs, rendered; what is longer than the context is left out and counted.

        Raises:
            RunError: nothing is left.
        """
        given = self.make(self.policy.renderer)
        kept, skipped = pairs.within_context(given, self.context)
        self.store.json(f"{self.name}/skipped", {"context": self.context, "pairs": len(given)}, lambda: skipped)
        if not kept:
            raise RunError(f"{self.name}: none of {len(given)} given examples fits a context of {self.context} tokens.")
        log.info("%s: %d examples, %d longer than the context", self.name, len(kept), len(given) - len(kept))
        return kept


def _chunks(items: Sequence, size: int) -> list[Sequence]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _reasons(choices: Choices) -> str:
    totals: dict[str, int] = {}
    for reasons in choices.skipped.values():
        for reason, count in reasons.items():
            totals[reason] = totals.get(reason, 0) + count
    return ", ".join(f"{reason}: {count}" for reason, count in totals.items()) or "nothing skipped"
