"""From choices, demonstrations or preferences to training pairs with their reference log-probs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from icr.data.collate import partner_sequences
from icr.data.context import TOO_LONG
from icr.errors import RunError
from icr.logps import NonFiniteLogpError, score
from icr.models.loading import LoadedModel
from icr.models.rendering import Renderer
from icr.rewards import Choices
from icr.rewards.pairing import SAME_TEXT
from icr.types import Demonstration, Preference, PreferencePair, Prompt, Response, ScoredResponse


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
        _written(row.id, row.language, row.prompt, row.response, None, renderer)
        if isinstance(row, Demonstration)
        else _written(row.id, row.language, row.prompt, row.chosen, row.rejected, renderer)
        for row in given
    ]


def within_context(
    pairs: Sequence[PreferencePair], context: int | None
) -> tuple[list[PreferencePair], dict[str, dict[str, int]]]:
    """The pairs whose sequences fit into `context` tokens (None: all), and the count of the others by language."""
    kept: list[PreferencePair] = []
    skipped: dict[str, dict[str, int]] = {}
    for pair in pairs:
        if context is None or len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids)) <= context:
            kept.append(pair)
        else:
            reasons = skipped.setdefault(pair.language, {})
            reasons[TOO_LONG] = reasons.get(TOO_LONG, 0) + 1
    return kept, skipped


def with_partners(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """Give each pair a partner for KTO's KL estimate: the next pair of another prompt in its language.

    A language with a single prompt has none to give, and its pairs stay without.
    """
    by_language: dict[str, list[PreferencePair]] = defaultdict(list)
    for pair in pairs:
        by_language[pair.language].append(pair)
    partners = {}
    for group in by_language.values():
        for place, pair in enumerate(group):
            following = (group[(place + step) % len(group)] for step in range(1, len(group)))
            others = (o for o in following if o.id != pair.id and o.prompt_ids != pair.prompt_ids)
            partners[pair.key] = next((other.key for other in others), "")
    return [replace(pair, partner=partners[pair.key]) for pair in pairs]


def with_reference_logps(
    pairs: Sequence[PreferencePair],
    reference: LoadedModel,
    *,
    partners: bool,
    tokens_per_batch: int,
    on_batch: Callable[[int], object],
    among: Sequence[PreferencePair] = (),
) -> list[PreferencePair]:
    """Give each pair the training reference's log-probs, those of its partner's responses included where asked for.

    Called by all ranks together, each with its share.

    Args:
        among: all pairs of the round, where `pairs` are a share of them: partners may be any of these.

    Raises:
        RunError: a log-prob is NaN or infinite; the pair is named.
    """
    by_key = {pair.key: pair for pair in [*among, *pairs]}
    mismatched = [pair for pair in pairs if pair.partner] if partners else []
    sequences = [(pair.prompt_ids, pair.chosen_ids) for pair in pairs]
    sequences += [(pair.prompt_ids, pair.rejected_ids) for pair in pairs]
    sequences += partner_sequences(mismatched, by_key)
    try:
        logps = score(reference.model, sequences, tokens_per_batch=tokens_per_batch, on_batch=on_batch, all_ranks=True)
    except NonFiniteLogpError as error:
        bad = [*pairs, *pairs, *mismatched, *mismatched][error.index]
        raise RunError(
            f"The training reference's log-probs of the pair {bad.key} are not finite: the weights of {reference.path} "
            f"hold NaN, or their dtype overflows (try model.loader.dtype=float32)."
        ) from error
    sums = [float(np.sum(values, dtype=np.float64)) for values in logps]
    count, extra = len(pairs), len(mismatched)
    for pair, chosen, rejected in zip(pairs, sums[:count], sums[count : 2 * count], strict=True):
        by_key[pair.key] = replace(pair, reference_chosen_logp=chosen, reference_rejected_logp=rejected)
    for pair, chosen, rejected in zip(mismatched, sums[2 * count :][:extra], sums[2 * count + extra :], strict=True):
        by_key[pair.key] = replace(
            by_key[pair.key], reference_partner_chosen_logp=chosen, reference_partner_rejected_logp=rejected
        )
    return [by_key[pair.key] for pair in pairs]


def _written(
    id: str, language: str, prompt: str, chosen: str, rejected: str | None, renderer: Renderer
) -> PreferencePair:
    chosen_ids = renderer.response_ids(chosen)
    rejected_ids = renderer.response_ids(rejected) if rejected is not None else []
    return PreferencePair(
        id=id,
        language=language,
        prompt=prompt,
        chosen=chosen,
        rejected=rejected or "",
        prompt_ids=renderer.prompt_ids(prompt),
        chosen_ids=chosen_ids,
        rejected_ids=rejected_ids,
        chosen_tokens=len(chosen_ids),
        rejected_tokens=len(rejected_ids),
    )
