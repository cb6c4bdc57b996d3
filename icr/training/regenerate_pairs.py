"""Callbacks that make a round's pairs and hand them to the data module before Lightning asks for a loader."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from lightning.pytorch import Callback, LightningModule, Trainer

from icr.data import CrossLingualPairDataModule
from icr.errors import RunError
from icr.evaluation import Diagnosis
from icr.evaluation.diagnosis.stage import diagnose_round
from icr.losses import Objective
from icr.metrics import RoundMetric
from icr.models import LoadedModel, Loader, Renderer
from icr.models.arithmetic import Arithmetic
from icr.modules import PreferenceModule
from icr.rewards import LengthPenalty, Pairing
from icr.rounds import pairs, regenerate
from icr.rounds.annotate import Annotator
from icr.rounds.gates import Gate
from icr.rounds.replay import Replay, ReplayRounds, with_replay
from icr.rundir import PairTable, RunDirectory
from icr.rundir.layout import round_folder, round_stages
from icr.rundir.summary import count_round
from icr.sampling import Sampler
from icr.tracking import RoundLogger, pair_figures
from icr.types import PreferencePair, Prompt, Response, ScoredResponse

log = logging.getLogger(__name__)

NO_REPLAY = ReplayRounds(share=0.0)


@dataclass(frozen=True)
class RoundStart:
    """What a training starts from.

    Attributes:
        store: the run directory.
        round: number of the round.
        policy: the training's start, sharing its weights with the module in training.
        training_reference: path of the model whose log-probs are the training reference; `None` where that is the
            policy as it stands.
        loader: how that model is loaded.
        arithmetic: of the training, which the training reference is scored in too.
        seed: of the run and round.
    """

    store: RunDirectory
    round: int
    policy: LoadedModel
    training_reference: str | None
    loader: Loader
    arithmetic: Arithmetic
    seed: tuple[object, ...]

    @property
    def name(self) -> str:
        """What the log calls the round."""
        return round_folder(self.round)


@dataclass
class PairCallback(Callback, ABC):
    """Makes the pairs of one training and hands them to the data module in `setup`.

    That is Lightning's first hook: nothing is wrapped, sharded or restored from a checkpoint yet, so that the policy is
    an ordinary model with the weights that the round starts from, whatever the strategy.

    Attributes:
        context: positions of the model; None where it states none.
        figures: what the diagnosis logs once per round, by name; there when the pairs are.
    """

    start: RoundStart
    context: int | None = field(default=None, kw_only=True)
    figures: dict[str, float] = field(default_factory=dict, init=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the pairs, or read them back, and plan the training on them.

        Raises:
            RunError: there is no pair to train on.
        """
        module = cast(PreferenceModule, pl_module)
        self.prepare(module.data, module.objective)
        if not trainer.loggers:
            return
        start = self.start
        made = pair_figures(count_round(start.store.layout.round(start.round)))
        for logger in trainer.loggers:
            if isinstance(logger, RoundLogger):
                logger.paired()
            logger.log_metrics({**self.figures, **made}, step=0)

    def prepare(self, data: CrossLingualPairDataModule, objective: Objective) -> None:
        """The same for a training that need not begin.

        Raises:
            RunError: there is no pair to train on.
        """
        start = self.start
        chosen = self.make_pairs()
        start.arithmetic.prepare(start.policy.model)
        made = regenerate.reference(
            start.store,
            start.round,
            chosen,
            objective,
            start.policy,
            path=start.training_reference,
            loader=start.loader,
            arithmetic=start.arithmetic,
            one_pass=partial(data.one_pass, objective=objective, seed=start.seed),
            context=self.context,
        )
        data.set_pairs(made, objective, start.seed)

    @abstractmethod
    def make_pairs(self) -> Sequence[PreferencePair]:
        """The pairs without reference log-probs."""


@dataclass
class RegeneratePairs(PairCallback):
    """Samples responses to the prompts, rewards them, controls their length and pairs them: `icr.rounds.regenerate`.

    Attributes:
        diagnosis: what the round may not show, if it is to be trained.
        part: prompts per process whose responses are scored between two saves.
        second: rewards them under another prompt, where the gate compares the two.
        replay: which earlier pairs come beside them.
    """

    prompts: Sequence[Prompt]
    sampler: Sampler
    annotator: Annotator
    length_control: LengthPenalty
    gate: Gate | None
    pairing: Pairing
    diagnosis: Diagnosis
    part: int = regenerate.PART
    second: Annotator | None = None
    replay: Replay = NO_REPLAY

    def make_pairs(self) -> list[PreferencePair]:
        """Sample → reward → control length → pair → diagnose.

        Raises:
            RunError: no prompt gives a pair, and the reasons are listed with their counts; or the diagnosis stops here.
        """
        start = self.start
        data = regenerate.RoundData(start.store, start.round, self.prompts, start.seed)
        responses = regenerate.sample(data, self.sampler, start.policy)
        scored = regenerate.reward(data, responses, self.annotator, start.policy, self.part)
        second = None
        if self.second:
            second = regenerate.reward(data, responses, self.second, start.policy, self.part, second=True)
        own = regenerate.choose(
            data,
            responses,
            scored,
            length_control=self.length_control,
            gate=self.gate,
            pairing=self.pairing,
            second=second,
        )
        self._diagnose(data, responses, scored, own)
        return self._with_replay(own) if self.replay.share else own

    def _diagnose(
        self,
        data: regenerate.RoundData,
        responses: Sequence[Response],
        scored: Sequence[ScoredResponse],
        own: Sequence[PreferencePair],
    ) -> None:
        """Keep what the round shows for the trackers, and stop where it may not be trained."""
        found = diagnose_round(data, responses, scored, own, identify=self.diagnosis.identify)
        self.figures = {
            metric.of(code): value
            for metric in RoundMetric
            for code, value in found.get(metric, {}).items()
            if math.isfinite(value)
        }
        self.diagnosis.check(self.start.name, found)

    def _with_replay(self, own: list[PreferencePair]) -> list[PreferencePair]:
        start, table = self.start, PairTable(PreferencePair)
        tables = [table.read(start.store.layout.round(n).pairs) for n in self.replay.rounds(start.round)]
        earlier = [[pair for pair in made if not pair.source] for made in tables]
        pool = self.replay.pool(earlier, start.policy.renderer, self.context)
        return with_replay(own, pool, self.replay.share, start.seed, start.name)


@dataclass
class GivenPairs(PairCallback):
    """Trains on pairs that were there before the run: demonstrations or labelled preferences.

    Attributes:
        make: renders them.
    """

    make: Callable[[Renderer], list[PreferencePair]]

    def make_pairs(self) -> list[PreferencePair]:
        """The pairs, rendered; what is longer than the context or holds turn tokens is left out and counted.

        Raises:
            RunError: nothing is left.
        """
        start = self.start
        renderer = start.policy.renderer
        given = self.make(renderer)
        plain, with_tokens = pairs.without_turn_tokens(given, renderer)
        kept, too_long = pairs.within_context(plain, self.context)
        languages = with_tokens.keys() | too_long.keys()
        skipped = {code: with_tokens.get(code, {}) | too_long.get(code, {}) for code in sorted(languages)}
        start.store.json(round_stages(start.round).skipped, lambda: skipped)
        left_out = (
            f"{len(plain) - len(kept)} longer than the context of {self.context} tokens, {len(given) - len(plain)} "
            f"with turn tokens in their text"
        )
        if not kept:
            raise RunError(f"{start.name}: none of {len(given)} given examples can be trained on: {left_out}.")
        log.info("%s: %d examples, and left out: %s", start.name, len(kept), left_out)
        return kept
