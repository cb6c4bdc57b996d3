"""What crosses rooms. Log-probs and rewards are in nats; lengths state their unit; tensors state their shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


@dataclass(frozen=True, slots=True)
class Prompt:
    """One instruction in one language, joined to its English original by `id`.

    Attributes:
        id: shared by all the languages of this instruction.
        language: code of `text`, such as `"sw"`.
        text: the instruction in that language, `x_l`.
        english: the same instruction in English, `x_en` (equal to `text` where `language` is `"en"`).
        earlier: what was said before it, in turns: the user's first, the model's answer to it, and so on.
    """

    id: str
    language: str
    text: str
    english: str
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Response:
    """One sampled answer.

    Attributes:
        id, language: those of the prompt.
        k: index of the sample, `0 ≤ k < K`.
        prompt_ids: token ids of the rendered prompt `x_l`, generation header included.
        response_ids: token ids exactly as sampled; the last is the end-of-turn token if `finish_reason == "stop"`.
        text: the decoded answer without special tokens (for people, judges and lengths; never tokenised again).
        finish_reason: `"stop"`, or `"length"` where the token limit cut the answer.
    """

    id: str
    language: str
    k: int
    prompt_ids: list[int]
    response_ids: list[int]
    text: str
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Translation:
    """A response in English.

    Attributes:
        text: for people, and for tokenising what no model has sampled.
        ids: token ids exactly as sampled: one that was cut by a length limit has no end-of-turn token. None where it
            was written: it is tokenised then, and its end of turn put behind it.
    """

    text: str
    ids: list[int] | None = None


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """The reward of one response. `reward` is what pairing sees; the log-probs are kept for provenance.

    Attributes:
        id, language, k: those of the response.
        reward: `r(x, y)` in nats (or a judge's score where a judge annotates).
        policy_logp, reference_logp: `log π(y|x)` under the reward prompt, summed over tokens in float64; NaN where a
            judge annotates.
        tokens, characters, bytes: lengths of the response (tokens with, characters and UTF-8 bytes without the
            end-of-turn token).
        usable: false where the response may not be chosen or rejected; `reason` says why (`""` where usable).
    """

    id: str
    language: str
    k: int
    reward: float
    policy_logp: float
    reference_logp: float
    tokens: int
    characters: int
    bytes: int
    usable: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A chosen and a rejected response to one prompt, ready to train on. A demonstration has an empty `rejected_ids`.

    Attributes:
        prompt_ids, chosen_ids, rejected_ids: token ids; responses end with their end-of-turn token.
        prompt, chosen, rejected: the same as text.
        chosen_k, rejected_k: which samples they are (−1 where they are not samples).
        chosen_reward, rejected_reward: `r`, in nats, before length control.
        chosen_tokens, rejected_tokens: response lengths in tokens.
        source: where a replayed pair is from, such as `round_0`; `""` of a round's own.
        partner: `key` of the pair (of another prompt) whose responses KTO's KL estimate puts under this prompt; `""`
            without one.
        reference_chosen_logp, reference_rejected_logp: training reference's `log π_ref(y|x)`, summed over tokens.
        reference_chosen_head_logp, reference_rejected_head_logp: the same over the first `min(|y_w|, |y_l|)` tokens.
        reference_partner_chosen_logp, reference_partner_rejected_logp: the same for the partner's responses under this
            prompt.
    """

    id: str
    language: str
    prompt: str
    chosen: str
    rejected: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    chosen_k: int = -1
    rejected_k: int = -1
    chosen_reward: float = 0.0
    rejected_reward: float = 0.0
    chosen_tokens: int = 0
    rejected_tokens: int = 0
    source: str = ""
    partner: str = ""
    reference_chosen_logp: float = 0.0
    reference_rejected_logp: float = 0.0
    reference_chosen_head_logp: float = 0.0
    reference_rejected_head_logp: float = 0.0
    reference_partner_chosen_logp: float = 0.0
    reference_partner_rejected_logp: float = 0.0

    @property
    def key(self) -> str:
        """What tells this pair from all others of its round."""
        source = f"{self.source}/" if self.source else ""
        return f"{source}{self.language}/{self.id}/{self.chosen_k}/{self.rejected_k}"


@dataclass(slots=True)
class PolicyLogps:
    """What an objective needs of the policy for a micro-batch of `B` pairs.

    Attributes:
        chosen, rejected: `log π(y|x)` summed over tokens. Shape `[B]`, float64, nats.
        chosen_token_logps: log-prob of each chosen token, pairs one after the other. Shape `[T]`, float32.
        chosen_lengths: tokens of each chosen response. Shape `[B]`, sums to `T`.
        rejected_lengths: tokens of each rejected response. Shape `[B]`; `None` where there are none.
        chosen_head, rejected_head: `log π` of the first `min(|y_w|, |y_l|)` tokens of each response, as far as the
            shorter of the two goes. Shape `[B]`, float64, nats; `None` where there are no rejected responses.
        partner_chosen, partner_rejected: KTO's mismatched responses of the whole optimiser step, without gradient, so
            that `z_0` does not depend on how the step is cut. Shape `[P]`, one entry for each of the step's pairs that
            has a partner; `None` where the objective does not ask for them.
    """

    chosen: torch.Tensor
    rejected: torch.Tensor
    chosen_token_logps: torch.Tensor
    chosen_lengths: torch.Tensor
    partner_chosen: torch.Tensor | None = None
    partner_rejected: torch.Tensor | None = None
    rejected_lengths: torch.Tensor | None = None
    chosen_head: torch.Tensor | None = None
    rejected_head: torch.Tensor | None = None


@dataclass(slots=True)
class ReferenceLogps:
    """The training reference's side of `PolicyLogps`: the same fields, shapes and units, constants."""

    chosen: torch.Tensor
    rejected: torch.Tensor
    partner_chosen: torch.Tensor | None = None
    partner_rejected: torch.Tensor | None = None
    chosen_head: torch.Tensor | None = None
    rejected_head: torch.Tensor | None = None


@dataclass(slots=True)
class StepTotals:
    """Size of the whole optimiser step that a micro-batch belongs to, over all accumulation steps and ranks.

    Dividing by these, and not by the micro-batch's own size, makes the loss of a step independent of how it is cut up.
    """

    pairs: int
    chosen_tokens: int


@dataclass(slots=True)
class LossOutput:
    """What an objective returns for a micro-batch of `B` pairs.

    Attributes:
        loss: this micro-batch's share of the step's loss; shares add up to it. Scalar with gradient.
        preference: DPO's or KTO's loss of each pair. Shape `[B]`, detached.
        nll: mean negative log-likelihood per token of each chosen response. Shape `[B]`, detached, nats.
        chosen_rewards, rejected_rewards: `β·log(π/π_ref)` of the policy being trained. Shape `[B]`, detached, nats.
        metrics: further scalars to log, by name (such as `kl` for KTO).
    """

    loss: torch.Tensor
    preference: torch.Tensor
    nll: torch.Tensor
    chosen_rewards: torch.Tensor
    rejected_rewards: torch.Tensor
    metrics: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass(slots=True)
class PromptSet:
    """Prompts of every language of a run, and what was left out: `skipped[language][reason]` is a count."""

    prompts: list[Prompt]
    skipped: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt with the answer to imitate, for the SFT stage.

    Attributes:
        cut: whether the answer was cut short, and so has no end-of-turn token.
    """

    id: str
    language: str
    prompt: str
    response: str
    cut: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt with a better and a worse answer, written or labelled by someone, for the English preference stage.

    Attributes:
        cut: whether both answers were cut short, and so have no end-of-turn token.
    """

    id: str
    language: str
    prompt: str
    chosen: str
    rejected: str
    cut: bool = field(default=False, kw_only=True)


class PromptSource(Protocol):
    """Where prompts come from. Config group `data`."""

    provides: ClassVar[Literal["prompts"]]

    def prompts(self, languages: Sequence[str], split: str) -> PromptSet:
        """The prompts of a split, language by language, joined by id."""


class DemonstrationSource(Protocol):
    """Where demonstrations come from. Config group `data`."""

    provides: ClassVar[Literal["demonstrations"]]

    def demonstrations(self, languages: Sequence[str]) -> Sequence[Demonstration]:
        """Demonstrations in these languages."""


class PreferenceSource(Protocol):
    """Where labelled preferences come from. Config group `data`."""

    provides: ClassVar[Literal["preferences"]]

    def preferences(self, languages: Sequence[str]) -> Sequence[Preference]:
        """Preferences in these languages."""


DataSource = PromptSource | DemonstrationSource | PreferenceSource
"""Where a run's data come from; `provides` tells which of them it is."""
