"""A run from start to end: evaluate the starting models, train the rounds, evaluate each, sum up."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icr import distributed
from icr.config import Settings
from icr.data.context import within_context
from icr.errors import RunError
from icr.evaluation.judged import JudgedResponse, metrics
from icr.models import residency
from icr.models.loading import LoadedModel, check_same_vocabulary, context_length
from icr.modules.scorer import ImplicitRewardModule
from icr.progress import progress
from icr.rounds import pairs
from icr.rundir import fingerprint
from icr.rundir.results import ModelResult
from icr.rundir.store import RunDirectory
from icr.rundir.tables import ResponseTable, Table
from icr.training.regenerate_pairs import LONG_PART, PART, GivenPairs, PairCallback, RegeneratePairs
from icr.types import Prompt, PromptSet, Response, ScoredResponse

log = logging.getLogger(__name__)


@dataclass
class Pipeline:
    """The stages of one run directory.

    Attributes:
        settings: the checked configuration.
        store: the run directory.
        loggers: given a round's folder name, the Lightning loggers of its training.
        device: where sampling and scoring outside of a training run.
    """

    settings: Settings
    store: RunDirectory
    loggers: Any
    device: str

    def __post_init__(self) -> None:
        settings = self.settings
        settings.sampler.require()
        self.renderer = settings.loader.renderer(settings.model_path)
        self.context = context_length(settings.model_path, settings.loader.trust_remote_code)
        if settings.stage.name == "icr":
            for path in (settings.reward_pair.policy, settings.reward_pair.reference):
                other = settings.loader.renderer(path)
                check_same_vocabulary(self.renderer, other, settings.model_path, path)

    def run(self) -> list[ModelResult]:
        """Everything that is not done yet; returns each evaluated model."""
        settings = self.settings
        regenerates = hasattr(settings.data, "prompts")
        prompts = self.prompts if regenerates else None
        models = {name: path for name, path in settings.stage.baselines.items() if settings.evaluation}
        results = [ModelResult(name, "start", None, self._evaluate(name, path)) for name, path in models.items()]
        policies = [settings.model_path]
        for round in range(settings.iterations):
            policies.append(str(self._round(round, policies, prompts)))
            name = settings.stage.result.format(round=round)
            if settings.evaluation:
                results.append(ModelResult(name, "round", round, self._evaluate(name, policies[-1])))
        return results

    @functools.cached_property
    def prompts(self) -> PromptSet:
        """The prompts of the stage's split that fit the context.

        Raises:
            RunError: none fits.
        """
        settings = self.settings
        given = settings.data.prompts(list(settings.languages), settings.stage.split)
        texts = [lambda prompt: prompt.text, settings.reward_prompt.text]
        limit = settings.sampler.max_new_tokens
        kept = within_context(given, self.renderer, texts, self.context, limit)
        if not kept.prompts:
            raise RunError(
                f"None of the {len(given.prompts)} prompts fits: the model's context is {self.context} tokens, of "
                f"which sampling.max_new_tokens={limit} are kept for the response. Lower sampling.max_new_tokens."
            )
        return kept

    def skipped(self) -> dict[str, dict[str, int]]:
        """What was left out before anything was trained on: `[language][reason]` is a count."""
        if hasattr(self.settings.data, "prompts"):
            return self.prompts.skipped
        return json.loads((self.store.path / "round_0/skipped.json").read_text(encoding="utf-8"))

    def reward_accuracy(self) -> dict[str, dict[str, float]]:
        """How well each reward prompt orders round 0's responses, by the judge: `[reward prompt][language]`."""
        settings = self.settings
        if not settings.evaluation or not settings.evaluation.reward_prompts or settings.stage.name != "icr":
            return {}
        by_key = {(p.id, p.language): p for p in self.prompts.prompts}
        responses = ResponseTable(Response, by_key).read(self.store.path / "round_0/responses.parquet")
        accuracy = {}
        for name, prompt in settings.evaluation.reward_prompts.items():
            scored = self._accuracy_rewards(name, prompt, responses, by_key)
            accuracy[name] = settings.evaluation.accuracy(scored, responses, by_key)
        return accuracy

    def _round(self, round: int, policies: Sequence[str], prompts: PromptSet | None) -> Path:
        settings = self.settings
        name = f"round_{round}"
        seed = (settings.seed, round)

        def load() -> LoadedModel:
            if settings.from_scratch and round == 0:
                return settings.loader.initialise(policies[round], settings.seed)
            return settings.loader.load_for_training(policies[round], settings.seed, self.device)

        def callback(policy: LoadedModel) -> PairCallback:
            shared = {
                "store": self.store,
                "name": name,
                "policy": policy,
                "training_reference": self._training_reference(),
                "loader": settings.loader,
                "tokens_per_batch": settings.scoring_tokens,
                "seed": seed,
            }
            if prompts is None:
                return GivenPairs(**shared, make=self._given_pairs, context=self.context)
            return RegeneratePairs(
                **shared,
                prompts=prompts.prompts,
                sampler=settings.sampler,
                annotator=self._annotator(settings.reward_prompt, settings.reward_pair.at(round, policies)),
                length_control=settings.length_control,
                gate=settings.gate,
                pairing=settings.pairing,
                round=round,
                scored_together=LONG_PART if settings.reward_pair.residency == "one" else PART,
            )

        inputs = {"start": fingerprint.of_model(policies[round]), "seed": list(seed)}
        folder = settings.training.run(self.store, name, load, callback, inputs, self.loggers(name))
        if settings.loader.adapter and settings.loader.adapter.merge:
            inputs = {"model": self.store.version(f"{name}/model")}
            alone = distributed.rank() == 0
            merged = functools.partial(settings.loader.load_merged, str(folder)) if alone else lambda: None
            self.store.folder(f"{name}/merged", inputs, merged)
        return folder

    def _annotator(self, prompt: Any, pair: tuple[str, str]) -> Any:
        return self.settings.reward.for_round(prompt, pair, self._load_scorer)

    def _load_scorer(self, pair: tuple[str, str], trained: LoadedModel) -> ImplicitRewardModule:
        alone = self.settings.reward_pair.residency == "one"
        models = residency.reward_pair(self.settings.loader, pair, trained, self.device, one_at_a_time=alone)
        return ImplicitRewardModule(*models, tokens_per_batch=self.settings.scoring_tokens)

    def _training_reference(self) -> str | None:
        pair = self.settings.reward_pair
        paths = {"round_start": None, "policy": pair.policy, "reference": pair.reference}
        return paths[self.settings.training_reference]

    def _given_pairs(self, renderer: Any) -> list:
        languages = list(self.settings.languages)
        if self.settings.stage.name == "sft":
            return pairs.from_demonstrations(self.settings.data.demonstrations(languages), renderer)
        return pairs.from_preferences(self.settings.data.preferences(languages), renderer)

    def _evaluate(self, name: str, path: str) -> dict[str, dict[str, float]]:
        evaluation = self.settings.evaluation
        prompts = evaluation.prompts.prompts(list(self.settings.languages), evaluation.split).prompts

        def make() -> list[JudgedResponse]:
            model = self.settings.loader.load(path, self.device)
            with progress(len(prompts), f"{name} · evaluation") as update:
                seed = (self.settings.seed, "evaluation")
                mine = distributed.shard(prompts)
                return distributed.gather_to_rank0(evaluation.judged(model, mine, self.settings.sampler, seed, update))

        inputs = {"model": fingerprint.of_model(path), "evaluation": evaluation.split, "seed": self.settings.seed}
        figures = metrics(self.store.rows(f"evaluation/{name}", Table(JudgedResponse), inputs, make))
        log.info("%s: win rate %.1f %%, mean over target languages", name, figures["win_rate"]["mean"])
        return figures

    def _accuracy_rewards(
        self, name: str, prompt: Any, responses: list[Response], by_key: dict[tuple[str, str], Prompt]
    ) -> list[ScoredResponse]:
        if name == self.settings.reward_prompt.name:
            return Table(ScoredResponse).read(self.store.path / "round_0/rewards.parquet")
        pair = (self.settings.reward_pair.policy, self.settings.reward_pair.reference)
        annotator = self._annotator(prompt, pair)

        def make() -> list[ScoredResponse]:
            policy = self.settings.loader.load(self.settings.model_path, self.device)
            with progress(len(responses) * 2, f"{name} reward · scoring") as update:
                mine = distributed.shard(responses, together=self.settings.sampler.n)
                return distributed.gather_to_rank0(annotator.annotate(mine, by_key, policy, update))

        inputs = {"responses": self.store.version("round_0/responses"), **annotator.inputs()}
        return self.store.rows(f"evaluation/rewards_{name}", Table(ScoredResponse), inputs, make)
