"""The three reward prompts: under which text a response is scored. Config group `reward_prompt`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from icr.errors import ConfigError
from icr.models.loading import LoadedModel
from icr.types import Prompt, Response, Translation

Prompts = Mapping[tuple[str, str], Prompt]
Sequences = list[tuple[list[int], list[int]]]


class RewardPrompt(Protocol):
    """Under which text a response is scored, and as which tokens.

    Attributes:
        name: of the reward prompt in tables.
        samples: whether the round's policy is sampled from for it, once per response that is not English.
    """

    name: ClassVar[str]

    @property
    def samples(self) -> bool: ...

    def text(self, prompt: Prompt) -> str:
        """What the response is scored under."""

    def sequences(self, responses: Sequence[Response], prompts: Prompts, policy: LoadedModel) -> Sequences:
        """`(prompt_ids, response_ids)` to score, one per response."""


def language_name(names: Mapping[str, str], code: str) -> str:
    """English name of a language.

    Raises:
        ConfigError: it has none.
    """
    if not isinstance(name := names.get(code), str):
        raise ConfigError(f"reward_prompt.language_names has no name for {code!r}: add {code}: <its English name>.")
    return name


class Translator(Protocol):
    """Translates responses into English, for the `translate` reward prompt.

    Attributes:
        samples: whether it samples from the round's policy.
    """

    samples: ClassVar[bool]

    def __call__(self, responses: Sequence[Response], prompts: Prompts, policy: LoadedModel) -> list[Translation]:
        """English of each response; `prompts` is keyed by `(id, language)`, `policy` is the round's `π_t`."""


@dataclass(frozen=True)
class CrosslingualPrompt:
    """`R_c`: the English instruction, asked to be answered in the target language. The method's own."""

    template: str
    """Wraps the English instruction for languages other than English; has `{language}` and `{instruction}`."""
    language_names: Mapping[str, str]
    """English name of each language code."""
    name: ClassVar[str] = "crosslingual"
    samples: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if "{instruction}" not in self.template:
            raise ValueError("template must contain {instruction}")

    def text(self, prompt: Prompt) -> str:
        """What the response is scored under.

        Raises:
            ConfigError: the language has no name.
        """
        if prompt.language == "en":
            return prompt.english
        language = language_name(self.language_names, prompt.language)
        return self.template.replace("{language}", language).replace("{instruction}", prompt.english)

    def sequences(self, responses: Sequence[Response], prompts: Prompts, policy: LoadedModel) -> Sequences:
        """`(prompt_ids, response_ids)` to score, one per response."""
        return _under(self.text, responses, prompts, policy)


@dataclass(frozen=True)
class MultilingualPrompt:
    """`R_m`, an ablation: the prompt `x_l` that was answered."""

    name: ClassVar[str] = "multilingual"
    samples: ClassVar[bool] = False

    def text(self, prompt: Prompt) -> str:
        """What the response is scored under."""
        return prompt.text

    def sequences(self, responses: Sequence[Response], prompts: Prompts, policy: LoadedModel) -> Sequences:
        """`(prompt_ids, response_ids)` to score, one per response."""
        return _under(self.text, responses, prompts, policy)


@dataclass(frozen=True)
class TranslatePrompt:
    """`R_t`, an ablation: the English instruction, with the response translated into English."""

    translator: Translator
    """Called once with all the responses that are not English already."""
    name: ClassVar[str] = "translate"

    @property
    def samples(self) -> bool:
        """Whether the translator samples from the round's policy."""
        return self.translator.samples

    def text(self, prompt: Prompt) -> str:
        """What the response is scored under."""
        return prompt.english

    def sequences(self, responses: Sequence[Response], prompts: Prompts, policy: LoadedModel) -> Sequences:
        """`(prompt_ids, response_ids)` to score, one per response.

        A translation that a model sampled is scored as its ids: one that was cut has no end, and gets none here.
        """
        foreign = [response for response in responses if response.language != "en"]
        translated = iter(self.translator(foreign, prompts, policy))
        rendered = _under(self.text, responses, prompts, policy)
        return [
            (prompt_ids, ids if response.language == "en" else _ids(next(translated), policy))
            for response, (prompt_ids, ids) in zip(responses, rendered, strict=True)
        ]


def _ids(translation: Translation, policy: LoadedModel) -> list[int]:
    return policy.renderer.response_ids(translation.text) if translation.ids is None else translation.ids


def _under(
    text: Callable[[Prompt], str], responses: Sequence[Response], prompts: Prompts, policy: LoadedModel
) -> Sequences:
    keys = dict.fromkeys((response.id, response.language) for response in responses)
    rendered = {key: policy.renderer.prompt_ids(text(prompts[key])) for key in keys}
    return [(rendered[response.id, response.language], response.response_ids) for response in responses]
