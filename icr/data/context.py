"""Prompts that do not fit the context are left out, and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from icr.models.rendering import Renderer
from icr.types import Prompt, PromptSet

TOO_LONG = "longer than the context"


def fits(tokens: int, context: int | None, max_new_tokens: int) -> bool:
    """Whether a prompt of so many tokens leaves room for a response of `max_new_tokens`."""
    return context is None or tokens + max_new_tokens <= context


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
    kept: list[Prompt] = []
    skipped = {language: dict(reasons) for language, reasons in prompts.skipped.items()}
    for prompt in prompts.prompts:
        if fits(max(len(renderer.prompt_ids(text(prompt))) for text in texts), context, max_new_tokens):
            kept.append(prompt)
        else:
            reasons = skipped.setdefault(prompt.language, {})
            reasons[TOO_LONG] = reasons.get(TOO_LONG, 0) + 1
    return PromptSet(kept, skipped)
