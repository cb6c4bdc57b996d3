"""Prompts that do not fit the context, or hold tokens of turns, are left out and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from icr.errors import RunError
from icr.models.rendering import Renderer
from icr.types import Prompt, PromptSet

log = logging.getLogger(__name__)

TOO_LONG = "longer than the context"
TURN_TOKENS = "contains turn tokens"


def fits(tokens: int, context: int | None, max_new_tokens: int) -> bool:
    """Whether a prompt of so many tokens leaves room for a response of `max_new_tokens`."""
    return context is None or tokens + max_new_tokens <= context


def usable_prompts(
    given: PromptSet,
    renderer: Renderer,
    texts: Sequence[Callable[[Prompt], str]],
    context: int | None,
    max_new_tokens: int,
    what: str = "prompts",
) -> PromptSet:
    """The prompts without turn tokens that fit the context; how many others there are is logged.

    Args:
        texts, context, max_new_tokens: as `within_context` takes them.
        what: they are, in the log.

    Raises:
        RunError: there is none.
    """
    plain = without_turn_tokens(given, renderer)
    kept = within_context(plain, renderer, texts, context, max_new_tokens)
    count = len(given.prompts)
    if given.prompts and not plain.prompts:
        raise RunError(
            f"All of the {count} {what} hold tokens of a chat template, as if they were rendered already: give them as "
            f"plain text."
        )
    if not kept.prompts:
        raise RunError(
            f"None of the {count} {what} fits: the model's context is {context} tokens, of which "
            f"sampling.max_new_tokens={max_new_tokens} are kept for the response. Lower sampling.max_new_tokens."
        )
    if left_out := count - len(kept.prompts):
        held = count - len(plain.prompts)
        log.info(
            "%d of %d %s left out: %d %s, %d %s", left_out, count, what, held, TURN_TOKENS, left_out - held, TOO_LONG
        )
    return kept


def within_context(
    prompts: PromptSet,
    renderer: Renderer,
    texts: Sequence[Callable[[Prompt], str]],
    context: int | None,
    max_new_tokens: int,
) -> PromptSet:
    """Keep the prompts whose every rendering leaves room for a response of `max_new_tokens`.

    Args:
        texts: what a prompt is rendered from: its own text and the reward prompt's.
        context: positions that the model takes; None keeps everything.

    Returns:
        The prompts kept, in order, with the others added to `skipped` under `TOO_LONG`.
    """
    if context is None:
        return prompts

    def fit(prompt: Prompt) -> bool:
        longest = max(len(renderer.prompt_ids(text(prompt), prompt.earlier)) for text in texts)
        return fits(longest, context, max_new_tokens)

    return _keep(prompts, fit, TOO_LONG)


def without_turn_tokens(prompts: PromptSet, renderer: Renderer) -> PromptSet:
    """Keep the prompts of which nothing holds what the tokenizer takes for a token of turns.

    A chat template is rendered to text before it is tokenised, so that such a token in a prompt would be the real one:
    it would end the user's turn, or begin another. Writing it in ordinary tokens would be another prompt than all other
    tools make of it.

    Returns:
        The prompts kept, in order, with the others added to `skipped` under `TURN_TOKENS`.
    """
    return _keep(
        prompts,
        lambda prompt: not any(map(renderer.has_turn_tokens, (prompt.text, prompt.english, *prompt.earlier))),
        TURN_TOKENS,
    )


def _keep(prompts: PromptSet, may_stay: Callable[[Prompt], bool], reason: str) -> PromptSet:
    kept: list[Prompt] = []
    skipped = {language: dict(reasons) for language, reasons in prompts.skipped.items()}
    for prompt in prompts.prompts:
        if may_stay(prompt):
            kept.append(prompt)
        else:
            reasons = skipped.setdefault(prompt.language, {})
            reasons[reason] = reasons.get(reason, 0) + 1
    return PromptSet(kept, skipped)
