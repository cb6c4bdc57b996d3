"""Rewards of answers under each reward prompt, by the run's own annotator and reward pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from icr.config import Settings
from icr.data import RewardPrompt
from icr.data.labelled import Labelled, response_ids
from icr.errors import ConfigError
from icr.models import LoadedModel, residency
from icr.modules import ImplicitRewardModule
from icr.progress import progress
from icr.rounds import Annotator
from icr.sampling.decoding import with_settings
from icr.types import Prompt, Response, ScoredResponse

Prompts = Mapping[tuple[str, str], Prompt]


@dataclass
class Scorer:
    """The policy that a run would start from, and the pair that would reward its responses.

    Attributes:
        settings: of the run.
        device: where models are loaded.
    """

    settings: Settings
    device: str

    @cached_property
    def policy(self) -> LoadedModel:
        """The run's first policy."""
        settings = self.settings
        return settings.model.loader.load(settings.model.path, self.device)

    @cached_property
    def prompts(self) -> dict[str, RewardPrompt]:
        """Reward prompts by name: the run's own first, then those of the diagnosis that are others, and the gate's.

        Raises:
            ConfigError: two that differ have one name.
        """
        own, second = self.settings.reward_prompt, self.settings.second_prompt
        given = dict(self.settings.diagnosis.reward_prompts)
        if second and second not in given.values():
            given["gate"] = second
        name = next((name for name, prompt in given.items() if prompt == own), own.name)
        if given.get(name, own) != own:
            raise ConfigError(
                f"diagnosis.reward_prompts.{name} is another prompt than the run's reward_prompt, which has that name "
                f"too: give it another key."
            )
        return {name: own, **given}

    def sample(self, prompts: Sequence[Prompt], n: int) -> list[Response]:
        """`n` responses to each prompt, decoded as the run's are."""
        sampler = with_settings(self.settings.sampling, {"n": n})
        with progress(len(prompts), "diagnosis · sampling") as update:
            try:
                return sampler.sample(self.policy, prompts, (self.settings.seed, "diagnosis"), update)
            finally:
                sampler.release()

    def reward(self, responses: Sequence[Response], by_key: Prompts, what: str) -> dict[str, list[ScoredResponse]]:
        """Rewards of the responses, in order, under each reward prompt."""
        found = {}
        for name, prompt in self.prompts.items():
            with progress(2 * len(responses), f"diagnosis · {what}, {name}") as update:
                found[name] = self._annotator(prompt).annotate(responses, by_key, self.policy, update)
        return found

    def _annotator(self, prompt: RewardPrompt) -> Annotator:
        settings = self.settings
        pair = settings.reward_pair.at(0, [settings.model.path])
        return settings.reward.for_round(prompt, pair, lambda pair, policy: self._pair)

    @cached_property
    def _pair(self) -> ImplicitRewardModule:
        """The reward pair, loaded once for all prompts."""
        settings = self.settings
        alone = settings.reward_pair.residency == "one"
        pair = settings.reward_pair.at(0, [settings.model.path])
        models = residency.reward_pair(settings.model.loader, pair, self.policy, self.device, one_at_a_time=alone)
        return ImplicitRewardModule(*models, tokens_per_batch=settings.scoring.tokens_per_batch)


def answers(rows: Sequence[Labelled], policy: LoadedModel) -> list[Response]:
    """Four responses for each row: chosen and rejected as they were given, then both at equal length.

    At equal length both are cut to the first `n` tokens (`icr.data.labelled.response_ids`). Their `k` is 0 to 3.
    """
    return [response for row in rows for response in _answers(row, policy)]


def _answers(row: Labelled, policy: LoadedModel) -> list[Response]:
    renderer = policy.renderer
    prompt_ids = renderer.prompt_ids(row.prompt.text)
    *whole, n = response_ids(row, renderer)
    cut = [ids[:n] for ids in whole]
    texts = [row.chosen, row.rejected, *map(renderer.text, cut)]
    return [
        Response(row.prompt.id, row.prompt.language, k, prompt_ids, ids, texts[k], "length" if k > 1 else "stop")
        for k, ids in enumerate([*whole, *cut])
    ]
