"""Prompts longer than the context are left out and counted."""

from __future__ import annotations

import pytest

from icr.data.context import TOO_LONG, within_context
from icr.models.rendering import Renderer
from icr.types import Prompt, PromptSet

OWN, REWARD = (lambda prompt: prompt.text), (lambda prompt: f"In Swahili: {prompt.english}")


@pytest.fixture
def renderer(make_tokenizer) -> Renderer:
    return Renderer(make_tokenizer())


def kept(prompts, renderer, texts, context, limit=8, skipped=None):
    return within_context(PromptSet(prompts, skipped or {}), renderer, texts, context, limit)


def test_exactly_the_prompts_that_leave_room_for_a_response(renderer):
    prompts = [Prompt(str(n), "sw", "x" * n, "x") for n in range(1, 9)]
    lengths = {prompt.id: len(renderer.prompt_ids(prompt.text)) for prompt in prompts}
    made = kept(prompts, renderer, [OWN], context=lengths["5"] + 8)
    assert [prompt.id for prompt in made.prompts] == ["1", "2", "3", "4", "5"]
    assert made.skipped == {"sw": {TOO_LONG: 3}}


def test_the_reward_prompt_must_fit_too(renderer):
    prompts = [Prompt("a", "sw", "x", "x" * 40), Prompt("b", "sw", "x" * 10, "x")]
    assert [p.id for p in kept(prompts, renderer, [OWN], context=60).prompts] == ["a", "b"]
    made = kept(prompts, renderer, [OWN, REWARD], context=60)
    assert [p.id for p in made.prompts] == ["b"]
    assert made.skipped == {"sw": {TOO_LONG: 1}}


def test_counts_add_to_those_before(renderer):
    before = {"sw": {"id missing in some language": 2}}
    made = kept([Prompt("a", "sw", "x" * 90, "x")], renderer, [OWN], context=60, skipped=before)
    assert made.prompts == []
    assert made.skipped == {"sw": {"id missing in some language": 2, TOO_LONG: 1}}
    assert before == {"sw": {"id missing in some language": 2}}


def test_models_that_state_no_limit_keep_everything(renderer):
    prompts = [Prompt("a", "sw", "x" * 9000, "x")]
    assert kept(prompts, renderer, [OWN], context=None).prompts == prompts
