"""From choices, demonstrations or preferences to training pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from icr.data.context import TOO_LONG, TURN_TOKENS
from icr.models.rendering import Renderer
from icr.rewards import Choices
from icr.rewards.pairing import SAME_TEXT
from icr.types import Demonstration, Preference, PreferencePair, Prompt, Response, ScoredResponse

Skipped = dict[str, dict[str, int]]
"""`[language][reason]` is a count."""


def from_choices(
    choices: Choices,
    responses: Sequence[Response],
    scored: Sequence[ScoredResponse],
    prompts: Mapping[tuple[str, str], Prompt],
) -> list[PreferencePair]:
    """The chosen and rejected samples as pairs; their token ids are those that were sampled."""
    sampled = {(r.id, r.language, r.k): r for r in responses}
    reward = {(s.id, s.language, s.k): s.reward for s in scored}
    pairs = []
    for choice in choices.pairs:
        key = (choice.id, choice.language)
        chosen, rejected = sampled[*key, choice.chosen_k], sampled[*key, choice.rejected_k]
        pairs.append(
            PreferencePair(
                id=choice.id,
                language=choice.language,
                prompt=prompts[key].text,
                chosen=chosen.text,
                rejected=rejected.text,
                prompt_ids=chosen.prompt_ids,
                chosen_ids=chosen.response_ids,
                rejected_ids=rejected.response_ids,
                chosen_k=choice.chosen_k,
                rejected_k=choice.rejected_k,
                chosen_reward=reward[*key, choice.chosen_k],
                rejected_reward=reward[*key, choice.rejected_k],
                chosen_tokens=len(chosen.response_ids),
                rejected_tokens=len(rejected.response_ids),
            )
        )
    return pairs


def without_identical(choices: Choices, responses: Sequence[Response]) -> Choices:
    """Drop, and count, pairs whose two samples are the same tokens: a noisy or random reward can tell them apart."""
    ids = {(r.id, r.language, r.k): r.response_ids for r in responses}
    kept = []
    skipped = {language: dict(reasons) for language, reasons in choices.skipped.items()}
    for choice in choices.pairs:
        key = (choice.id, choice.language)
        if ids[*key, choice.chosen_k] != ids[*key, choice.rejected_k]:
            kept.append(choice)
        else:
            reasons = skipped[choice.language]
            reasons[SAME_TEXT] = reasons.get(SAME_TEXT, 0) + 1
    return replace(choices, pairs=kept, skipped=skipped)


def from_given(given: Sequence[Demonstration] | Sequence[Preference], renderer: Renderer) -> list[PreferencePair]:
    """Demonstrations, as pairs without a rejected response, or labelled preferences."""
    return [
        _written(row, row.response, None, renderer)
        if isinstance(row, Demonstration)
        else _written(row, row.chosen, row.rejected, renderer)
        for row in given
    ]


def within_context(pairs: Sequence[PreferencePair], context: int | None) -> tuple[list[PreferencePair], Skipped]:
    """The pairs whose sequences fit into `context` tokens (None: all), and the count of the others."""
    return _keep(pairs, lambda pair: _fits(pair, pair, context), TOO_LONG)


def without_turn_tokens(pairs: Sequence[PreferencePair], renderer: Renderer) -> tuple[list[PreferencePair], Skipped]:
    """The pairs in whose texts the tokenizer finds no tokens of turns, and the count of the others."""
    plain = lambda pair: not any(map(renderer.has_turn_tokens, (pair.prompt, pair.chosen, pair.rejected)))  # noqa: E731
    return _keep(pairs, plain, TURN_TOKENS)


def _keep(
    pairs: Sequence[PreferencePair], may_stay: Callable[[PreferencePair], bool], reason: str
) -> tuple[list[PreferencePair], Skipped]:
    kept: list[PreferencePair] = []
    skipped: Skipped = {}
    for pair in pairs:
        if may_stay(pair):
            kept.append(pair)
        else:
            skipped.setdefault(pair.language, {reason: 0})[reason] += 1
    return kept, skipped


def with_partners(pairs: Sequence[PreferencePair], context: int | None = None) -> list[PreferencePair]:
    """Give each pair a partner for KTO's KL estimate: the next pair of another prompt in its language that fits.

    Its responses come under this pair's prompt, and must leave that sequence within the context. A language with a
    single prompt has no partner to give, and the longest of prompts may find none: such pairs stay without, and take no
    part in the estimate.

    Args:
        context: positions that the model takes; None where there is no limit.
    """
    by_language: dict[str, list[PreferencePair]] = defaultdict(list)
    for pair in pairs:
        by_language[pair.language].append(pair)
    partners = {}
    for group in by_language.values():
        for place, pair in enumerate(group):
            following = (group[(place + step) % len(group)] for step in range(1, len(group)))
            others = (o for o in following if o.id != pair.id and o.prompt_ids != pair.prompt_ids)
            partners[pair.key] = next((other.key for other in others if _fits(pair, other, context)), "")
    return [replace(pair, partner=partners[pair.key]) for pair in pairs]


def _fits(pair: PreferencePair, responses: PreferencePair, context: int | None) -> bool:
    """Whether the prompt of one pair leaves room for both responses of another."""
    longest = max(len(responses.chosen_ids), len(responses.rejected_ids))
    return context is None or len(pair.prompt_ids) + longest <= context


def _written(row: Demonstration | Preference, chosen: str, rejected: str | None, renderer: Renderer) -> PreferencePair:
    end = -1 if row.cut else None
    chosen_ids = renderer.response_ids(chosen)[:end]
    rejected_ids = renderer.response_ids(rejected)[:end] if rejected is not None else []
    return PreferencePair(
        id=row.id,
        language=row.language,
        prompt=row.prompt,
        chosen=chosen,
        rejected=rejected or "",
        prompt_ids=renderer.prompt_ids(row.prompt),
        chosen_ids=chosen_ids,
        rejected_ids=rejected_ids,
        chosen_tokens=len(chosen_ids),
        rejected_tokens=len(rejected_ids),
    )
