"""Translation of responses into English by the policy itself, for `reward_prompt=translate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from icr.data.reward_prompts import language_name
from icr.models.loading import LoadedModel
from icr.sampling.transformers_sampler import TransformersSampler
from icr.types import Prompt, Response, Translation


@dataclass(frozen=True)
class PolicyTranslator:
    """Asks the round's policy for a translation, greedily by default."""

    samples: ClassVar[bool] = True

    sampler: TransformersSampler
    """How translations are decoded; one per response, whatever its `n`."""
    template: str
    """The request; has `{language}` and `{text}`."""
    language_names: Mapping[str, str]
    """English name of each language code."""

    def __post_init__(self) -> None:
        if "{text}" not in self.template:
            raise ValueError("template must contain {text}")

    def __call__(
        self, responses: Sequence[Response], prompts: Mapping[tuple[str, str], Prompt], policy: LoadedModel
    ) -> list[Translation]:
        """English of each response, as `policy` samples it."""
        requests = [
            Prompt(f"{response.id}/{response.k}", response.language, text := self._request(response), text)
            for response in responses
        ]
        answers = replace(self.sampler, n=1).sample(policy, requests, ("translation",))
        return [Translation(answer.text, answer.response_ids) for answer in answers]

    def _request(self, response: Response) -> str:
        language = language_name(self.language_names, response.language)
        return self.template.replace("{language}", language).replace("{text}", response.text)
