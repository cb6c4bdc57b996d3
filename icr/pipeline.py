"""A run from start to end: evaluate the starting models, train the rounds, evaluate each."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lightning.pytorch.loggers import Logger

from icr import distributed
from icr.config import Settings
from icr.data.context import within_context
from icr.errors import RunError
from icr.evaluation.judged import JudgedResponse, metrics
from icr.keys import Keys
from icr.models import LoadedModel, residency
from icr.models.loading import check_same_vocabulary, context_length
from icr.modules import ImplicitRewardModule
from icr.progress import progress
from icr.rounds import pairs, regenerate
from icr.rundir import ModelResult, ResponseTable, RunDirectory, Table
from icr.rundir.layout import accuracy_stage, evaluation_stage, round_stages
from icr.training.regenerate_pairs import GivenPairs, PairCallback, RegeneratePairs
from icr.types import Demonstration, Preference, Prompt, PromptSet, Response, ScoredResponse

log = logging.getLogger(__name__)


@dataclass
class Pipeline:
    """The stages of one run.

    Making one reads tokenizers, prompts and what is in the directory, and refuses what does not fit; no weights.

    Attributes:
        settings: the checked configuration.
        directory: the run directory.
        device: where sampling and scoring outside of a training run.

    Raises:
        ICRError: the sampler, the models, the data or the directory cannot be used.
    """

    settings: Settings
    directory: Path
    device: str

    def __post_init__(self) -> None:
        settings = self.settings
        settings.sampling.require()
        self.renderer = settings.model.loader.renderer(settings.model.path)
        self.context = context_length(settings.model.path, settings.model.loader.trust_remote_code)
        if settings.scores:
            for path in (settings.reward_pair.policy, settings.reward_pair.reference):
                other = settings.model.loader.renderer(path)
                check_same_vocabulary(self.renderer, other, settings.model.path, path)
        self.given = [] if settings.samples else self._given()
        self.prompts = self._prompts() if settings.samples else PromptSet([])
        keys = Keys(settings, self.prompts.prompts or self.given, self.evaluated, self.context)
        self.store = RunDirectory(self.directory, keys.of_run())

    def run(self, loggers: Callable[[int], Sequence[Logger]]) -> list[ModelResult]:
        """Everything that is not done yet; returns each evaluated model.

        Args:
            loggers: given the number of a round, the Lightning loggers of its training.
        """
        settings = self.settings
        models = settings.stage.baselines if settings.evaluation else {}
        results = [ModelResult(name, "start", None, self._evaluate(name, path)) for name, path in models.items()]
        policies = [settings.model.path]
        for round in range(settings.iterations):
            policies.append(str(self._round(round, policies, loggers(round))))
            if settings.evaluation:
                name = settings.stage.result.format(round=round)
                results.append(ModelResult(name, "round", round, self._evaluate(name, policies[-1])))
        return results

    @property
    def skipped(self) -> dict[str, dict[str, int]]:
        """What was left out before anything was trained on: `[language][reason]` is a count."""
        return self.prompts.skipped if self.settings.samples else self.store.json(round_stages(0).skipped, dict)

    def reward_accuracy(self) -> dict[str, dict[str, float]]:
        """How well each reward prompt orders round 0's responses, by the judge: `[reward prompt][language]`."""
        settings = self.settings
        if not settings.evaluation or not settings.scores:
            return {}
        data = regenerate.RoundData(self.store, 0, self.prompts.prompts, (settings.seed, 0))
        responses = ResponseTable(Response, data.by_key).read(self.store.layout.round(0).responses)
        accuracy = {}
        for name, prompt in settings.evaluation.reward_prompts.items():
            scored = self._accuracy_rewards(name, prompt, responses, data.by_key)
            accuracy[name] = settings.evaluation.accuracy(scored, responses, data.by_key)
        return accuracy

    @cached_property
    def evaluated(self) -> list[Prompt]:
        """Prompts of the evaluation; none where nothing is evaluated."""
        evaluation = self.settings.evaluation
        return evaluation.prompts.prompts(self.settings.langs.codes, evaluation.split).prompts if evaluation else []

    def _prompts(self) -> PromptSet:
        """The prompts of the stage's split that fit the context.

        Raises:
            RunError: none fits.
        """
        settings = self.settings
        given = settings.data.prompts(settings.langs.codes, settings.stage.split)
        texts = [lambda prompt: prompt.text, settings.reward_prompt.text]
        limit = settings.sampling.max_new_tokens
        kept = within_context(given, self.renderer, texts, self.context, limit)
        if not kept.prompts:
            raise RunError(
                f"None of the {len(given.prompts)} prompts fits: the model's context is {self.context} tokens, of "
                f"which sampling.max_new_tokens={limit} are kept for the response. Lower sampling.max_new_tokens."
            )
        return kept

    def _given(self) -> list[Demonstration] | list[Preference]:
        data, codes = self.settings.data, self.settings.langs.codes
        return data.demonstrations(codes) if data.provides == "demonstrations" else data.preferences(codes)

    def _round(self, round: int, policies: Sequence[str], loggers: Sequence[Logger]) -> Path:
        settings, stages = self.settings, round_stages(round)
        loader = settings.model.loader

        def load() -> LoadedModel:
            if settings.model.from_scratch and round == 0:
                return loader.initialise(policies[round], settings.seed)
            return loader.load_for_training(policies[round], settings.seed, self.device)

        make = functools.partial(self._pairs, round, policies)
        folder = settings.training.run(self.store, round, load, make, loggers)
        if loader.adapter and loader.adapter.merge:
            alone = distributed.rank() == 0
            merged = functools.partial(loader.load_merged, str(folder)) if alone else lambda: None
            self.store.folder(stages.merged, merged)
        return folder

    def _pairs(self, round: int, policies: Sequence[str], policy: LoadedModel) -> PairCallback:
        settings = self.settings
        pair = settings.reward_pair
        references = {"round_start": None, "policy": pair.policy, "reference": pair.reference}
        shared = {
            "store": self.store,
            "round": round,
            "policy": policy,
            "training_reference": references[settings.training_reference],
            "loader": settings.model.loader,
            "tokens_per_batch": settings.scoring.tokens_per_batch,
            "seed": (settings.seed, round),
        }
        if not settings.samples:
            return GivenPairs(**shared, make=functools.partial(pairs.from_given, self.given), context=self.context)
        return RegeneratePairs(
            **shared,
            prompts=self.prompts.prompts,
            sampler=settings.sampling,
            annotator=settings.reward.for_round(settings.reward_prompt, pair.at(round, policies), self._load_scorer),
            length_control=settings.length_control,
            gate=settings.gate,
            pairing=settings.pairing,
            part=regenerate.LONG_PART if pair.residency == "one" else regenerate.PART,
        )

    def _load_scorer(self, pair: tuple[str, str], trained: LoadedModel) -> ImplicitRewardModule:
        alone = self.settings.reward_pair.residency == "one"
        models = residency.reward_pair(self.settings.model.loader, pair, trained, self.device, one_at_a_time=alone)
        return ImplicitRewardModule(*models, tokens_per_batch=self.settings.scoring.tokens_per_batch)

    def _evaluate(self, name: str, path: str) -> dict[str, dict[str, float]]:
        evaluation, settings = self.settings.evaluation, self.settings

        def make() -> list[JudgedResponse]:
            model = settings.model.loader.load(path, self.device)
            with progress(len(self.evaluated), f"{name} · evaluation") as update:
                mine = distributed.shard(self.evaluated)
                seed = (settings.seed, "evaluation")
                return distributed.gather_to_rank0(evaluation.judged(model, mine, settings.sampling, seed, update))

        figures = metrics(self.store.rows(evaluation_stage(name), Table(JudgedResponse), make))
        log.info("%s: win rate %.1f %%, mean over target languages", name, figures["win_rate"]["mean"])
        return figures

    def _accuracy_rewards(
        self, name: str, prompt, responses: list[Response], by_key: dict[tuple[str, str], Prompt]
    ) -> list[ScoredResponse]:
        if name == self.settings.reward_prompt.name:
            return Table(ScoredResponse).read(self.store.layout.round(0).rewards)
        settings = self.settings
        pair = (settings.reward_pair.policy, settings.reward_pair.reference)
        annotator = settings.reward.for_round(prompt, pair, self._load_scorer)

        def make() -> list[ScoredResponse]:
            policy = settings.model.loader.load(settings.model.path, self.device)
            with progress(len(responses) * 2, f"{name} reward · scoring") as update:
                mine = distributed.shard(responses, together=settings.sampling.n)
                return distributed.gather_to_rank0(annotator.annotate(mine, by_key, policy, update))

        return self.store.rows(accuracy_stage(name), Table(ScoredResponse), make)
