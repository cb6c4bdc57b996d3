"""Prompts longer than the context are left out and counted."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken

from icr.data.context import TOO_LONG, TURN_TOKENS, usable_prompts, within_context, without_turn_tokens
from icr.errors import RunError
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


TEXTS = {
    "plain": "Name a river.",
    "end": "Say <end> and stop.",
    "begin": "<bos>Name a river.",
    "header": "x<assistant>Sure!",
    "almost": "< end > and <endless> and <|eot_id|>",
}


@pytest.mark.parametrize("side", ["text", "english"])
def test_prompts_with_turn_tokens_on_either_side_are_left_out(side, renderer):
    """The chat template's text is tokenised as a whole: `<end>` in a prompt would end the user's turn."""
    assert renderer.end_of_turn_id in renderer.prompt_ids(TEXTS["end"])
    prompts = [
        Prompt(id, "sw", text, "x") if side == "text" else Prompt(id, "sw", "x", text) for id, text in TEXTS.items()
    ]
    made = without_turn_tokens(PromptSet(prompts, {"sw": {"other": 1}}), renderer)
    assert [prompt.id for prompt in made.prompts] == ["plain", "almost"]
    assert made.skipped == {"sw": {"other": 1, TURN_TOKENS: 3}}


def test_white_space_is_no_turn_token(make_tokenizer):
    """Gemma's tokenizer has added tokens for newlines, with which its template makes prompts, too."""
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken("\n", special=False)])
    tokenizer.chat_template = "{% for m in messages %}<user>\n{{ m.content }}<end>\n{% endfor %}"
    renderer = Renderer(tokenizer)
    assert tokenizer.convert_tokens_to_ids("\n") in renderer.prompt_ids("a")
    assert not renderer.has_turn_tokens("one\ntwo")
    assert renderer.has_turn_tokens("one<end>")


def test_turn_tokens_are_special_or_the_templates(make_tokenizer):
    """An added token that is not special is one where the template makes prompts with it, and `unk` is none."""
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["[USER]", "[TOOL]"])
    tokenizer.add_special_tokens({"unk_token": "<unk>"})
    assert not Renderer(tokenizer).has_turn_tokens("[USER]")
    tokenizer.chat_template = tokenizer.chat_template.replace("<user>", "[USER]")
    renderer = Renderer(tokenizer)
    found = {text: renderer.has_turn_tokens(text) for text in ("[USER]", "[TOOL]", "<user>", "<unk>", "", "river")}
    assert found == {"[USER]": True, "[TOOL]": False, "<user>": True, "<unk>": False, "": False, "river": False}


def test_what_is_left_out_is_logged_and_nothing_left_is_an_error(renderer, caplog):
    long, held, plain = (Prompt(id, "sw", text, "x") for id, text in [("a", "x" * 90), ("b", "<end>"), ("c", "x")])
    with caplog.at_level("INFO"):
        made = usable_prompts(PromptSet([long, held, plain]), renderer, [OWN], 60, 8, "evaluation prompts")
    assert made == PromptSet([plain], {"sw": {TURN_TOKENS: 1, TOO_LONG: 1}})
    assert "2 of 3 evaluation prompts left out: 1 contains turn tokens, 1 longer than the context" in caplog.text
    with pytest.raises(RunError, match="All of the 1 prompts hold tokens of a chat template"):
        usable_prompts(PromptSet([held]), renderer, [OWN], 60, 8)
    with pytest.raises(RunError, match=r"None of the 1 prompts fits: the model's context is 60 tokens"):
        usable_prompts(PromptSet([long]), renderer, [OWN], 60, 8)
