"""A run from start to end: evaluate the starting models, train the rounds, evaluate each."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.loggers import Logger

from icr import distributed
from icr.config import Settings
from icr.data import RewardPrompt
from icr.data.context import usable_prompts
from icr.data.files import given as given_examples
from icr.evaluation import Bench, OpenEvaluation, Setting, Subject, reward_accuracies, rewards_under
from icr.keys import Keys
from icr.models import LoadedModel, residency
from icr.models.configuration import context_length
from icr.models.folder import base_of
from icr.models.tokenizer import check_same_vocabulary
from icr.models.whole import check_files
from icr.modules import ImplicitRewardModule
from icr.rounds import pairs, regenerate
from icr.rundir import ModelResult, ResponseTable, RunDirectory, Table
from icr.rundir.cache.origin import Origin
from icr.rundir.cache.stages import StageCache
from icr.rundir.layout import round_stages
from icr.tracking import Tracker, model_figures
from icr.training.regenerate_pairs import GivenPairs, PairCallback, RegeneratePairs, RoundStart
from icr.types import DataSource, Demonstration, Preference, Prompt, PromptSet, Response, ScoredResponse

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
        if settings.judge:
            settings.judge.require()
        if settings.samples:
            settings.reward.require()
        self.renderer = settings.model.loader.renderer(settings.model.path)
        self.context = self._context()
        if settings.scores:
            for path in (settings.reward_pair.policy, settings.reward_pair.reference):
                other = settings.model.loader.renderer(path)
                check_same_vocabulary(self.renderer, other, settings.model.path, path)
                check_files(base_of(path) or path)
        if not settings.model.from_scratch:
            check_files(base_of(settings.model.path) or settings.model.path)
        self.prompts, self.given = self._data(settings.data)
        self.evaluation = self._evaluation()
        keys = Keys(settings, self.prompts.prompts, self.given, self.evaluation, self.context)
        origin = Origin.of(settings, self.device)
        cache = StageCache(settings.cache.dir, origin) if settings.cache.dir else None
        self.store = RunDirectory(self.directory, keys.of_run(), origin, cache)

    def run(self, tracker: Tracker) -> list[ModelResult]:
        """Everything that is not done yet; returns each evaluated model.

        Args:
            tracker: has begun.
        """
        self.store.verify()
        settings, evaluation = self.settings, self.evaluation
        results = []
        if evaluation:
            for name, path in settings.stage.baselines.items():
                results.append(ModelResult(name, "start", None, self._evaluate(evaluation, name, path)))
                if path == settings.model.path:
                    tracker.measured(model_figures(results[-1]), 0)
        policies = [settings.model.path]
        for round in range(settings.iterations):
            policies.append(str(self._round(round, policies, tracker.loggers(round))))
            if evaluation:
                name = settings.stage.result.format(round=round)
                results.append(ModelResult(name, "round", round, self._evaluate(evaluation, name, policies[-1])))
                tracker.measured(model_figures(results[-1]), round + 1)
        return results

    @property
    def skipped(self) -> dict[str, dict[str, int]]:
        """What was left out before anything was trained on, or of the evaluation: `[language][reason]` is a count."""
        before = self.prompts.skipped if self.settings.samples else self.store.json(round_stages(0).skipped, dict)
        skipped = {language: dict(reasons) for language, reasons in before.items()}
        for language, reasons in (self.evaluation.skipped if self.evaluation else {}).items():
            named = {f"evaluation: {reason}": count for reason, count in reasons.items()}
            skipped[language] = skipped.get(language, {}) | named
        return skipped

    def reward_accuracy(self) -> dict[str, dict[str, float]]:
        """How well each reward prompt orders round 0's responses, by the judge: `[reward prompt][language]`."""
        settings, evaluation = self.settings, self.settings.evaluation
        if not evaluation or not evaluation.reward_prompts or not settings.prompted:
            return {}
        data = regenerate.RoundData(self.store, 0, self.prompts.prompts, (settings.seed, 0))
        responses = ResponseTable(Response, data.by_key).read(self.store.layout.round(0).responses)
        rewards = {
            name: self._rewards(name, prompt, responses, data.by_key)
            for name, prompt in evaluation.reward_prompts.items()
        }
        return reward_accuracies(evaluation.pointwise, responses, data.by_key, rewards)

    def _evaluation(self) -> OpenEvaluation | None:
        settings = self.settings

        def usable(given: PromptSet, max_new_tokens: int) -> PromptSet:
            return self._usable(given, [], max_new_tokens, "evaluation prompts")

        setting = Setting(settings.langs.codes, settings.sampling, usable, settings.model.loader)
        return settings.evaluation.open(setting) if settings.evaluation else None

    def _context(self) -> int | None:
        """Positions that all models of the run take; None where none of them states a number."""
        settings = self.settings
        paths = [settings.model.path]
        if settings.scores:
            paths += [settings.reward_pair.policy, settings.reward_pair.reference]
        if settings.evaluation:
            paths += settings.stage.baselines.values()
        remote_code = settings.model.loader.trust_remote_code
        stated = [context_length(path, remote_code) for path in dict.fromkeys(paths)]
        return min((positions for positions in stated if positions is not None), default=None)

    def _data(self, data: DataSource) -> tuple[PromptSet, Sequence[Demonstration] | Sequence[Preference]]:
        """Prompts to sample responses to, or examples to train on as they are."""
        codes = self.settings.langs.codes
        if data.provides == "prompts":
            given = data.prompts(codes, self.settings.stage.split)
            second = self.settings.second_prompt
            scored = [prompt.text for prompt in (self.settings.reward_prompt, second) if prompt]
            return self._usable(given, scored, self.settings.sampling.max_new_tokens, "prompts"), []
        return PromptSet([]), given_examples(data, codes)

    def _usable(
        self, given: PromptSet, others: Sequence[Callable[[Prompt], str]], max_new_tokens: int, what: str
    ) -> PromptSet:
        texts = [lambda prompt: prompt.text, *others]
        return usable_prompts(given, self.renderer, texts, self.context, max_new_tokens, what)

    def _round(self, round: int, policies: Sequence[str], loggers: Sequence[Logger]) -> Path:
        settings, loader = self.settings, self.settings.model.loader

        def load() -> LoadedModel:
            if settings.model.from_scratch and round == 0:
                return loader.initialise(policies[round], settings.seed)
            return loader.load_for_training(policies[round], settings.seed, self.device)

        make = functools.partial(self._pairs, round, policies)
        folder = settings.training.run(self.store, round, load, make, loggers)
        if loader.adapter and loader.adapter.merge:
            self.store.folder(
                round_stages(round).merged,
                lambda: loader.load_merged(str(folder)) if distributed.rank() == 0 else None,
            )
        return folder

    def _pairs(self, round: int, policies: Sequence[str], policy: LoadedModel) -> PairCallback:
        settings = self.settings
        pair = settings.reward_pair
        references = {"round_start": None, "policy": pair.policy, "reference": pair.reference}
        start = RoundStart(
            store=self.store,
            round=round,
            policy=policy,
            training_reference=references[settings.training_reference],
            loader=settings.model.loader,
            arithmetic=settings.arithmetic,
            seed=(settings.seed, round),
        )
        if not settings.samples:
            return GivenPairs(start, make=functools.partial(pairs.from_given, self.given), context=self.context)
        second, models = settings.second_prompt, pair.at(round, policies)
        return RegeneratePairs(
            start,
            context=self.context,
            prompts=self.prompts.prompts,
            sampler=settings.sampling,
            annotator=settings.reward.for_round(settings.reward_prompt, models, self._load_scorer),
            length_control=settings.length_control,
            gate=settings.gate,
            pairing=settings.pairing,
            diagnosis=settings.diagnosis,
            part=regenerate.LONG_PART if pair.residency == "one" else regenerate.PART,
            replay=settings.replay,
            second=settings.reward.for_round(second, models, self._load_scorer) if second else None,
        )

    def _load_scorer(self, pair: tuple[str, str], trained: LoadedModel) -> ImplicitRewardModule:
        alone = self.settings.reward_pair.residency == "one"
        models = residency.reward_pair(self.settings.model.loader, pair, trained, self.device, one_at_a_time=alone)
        return ImplicitRewardModule(*models, tokens_per_batch=self.settings.scoring.tokens_per_batch)

    def _evaluate(self, evaluation: OpenEvaluation, name: str, path: str) -> dict[str, dict[str, float]]:
        settings = self.settings
        bench = Bench(self.store, settings.model.loader, self.device, settings.seed)
        evaluation.measure(Subject(name, path), bench)
        found = evaluation.figures(name)
        log.info("%s: win rate %.1f %%, mean over target languages", name, found["win_rate"]["mean"])
        return found

    def _rewards(
        self, name: str, prompt: RewardPrompt, responses: list[Response], by_key: dict[tuple[str, str], Prompt]
    ) -> list[ScoredResponse]:
        """Rewards of round 0's responses under a reward prompt; the run's own are there already."""
        settings = self.settings
        if prompt == settings.reward_prompt:
            return Table(ScoredResponse).read(self.store.layout.round(0).rewards)
        pair = (settings.reward_pair.policy, settings.reward_pair.reference)
        annotator = settings.reward.for_round(prompt, pair, self._load_scorer)
        load = functools.partial(settings.model.loader.load, settings.model.path, self.device)
        return rewards_under(self.store, name, annotator, load, responses, by_key, together=settings.sampling.n)
