"""From messages to token ids."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken

from icr.errors import ModelError
from icr.models.rendering import Renderer

LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}<|stop|>\n\n{{ m.content | trim }}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|stop|>\n\n{% endif %}"
)


def with_template(tokenizer, template: str, *added: str):
    if added:
        tokenizer.add_tokens([AddedToken(token, special=True) for token in added])
    tokenizer.chat_template = template
    return tokenizer


def test_one_begin_of_sequence_token_and_the_generation_header(make_tokenizer):
    tokenizer = make_tokenizer()
    ids = Renderer(tokenizer).prompt_ids("Name a river.")
    assert tokenizer.decode(ids) == "<bos><user>Name a river.<assistant>"
    assert ids.count(tokenizer.bos_token_id) == 1


def test_no_second_one_from_a_tokenizer_that_adds_its_own(make_tokenizer):
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer()
    bos = ("<bos>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[bos])
    assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    renderer = Renderer(tokenizer)
    assert renderer.prompt_ids("a").count(tokenizer.bos_token_id) == 1
    assert tokenizer.bos_token_id not in renderer.response_ids("a")


def test_the_end_of_turn_is_the_templates_and_not_the_end_of_sequence(make_tokenizer):
    tokenizer = make_tokenizer()
    renderer = Renderer(tokenizer)
    assert renderer.end_of_turn_id == tokenizer.convert_tokens_to_ids("<end>")
    assert renderer.end_of_turn_id != tokenizer.eos_token_id
    assert renderer.stop_ids == {renderer.end_of_turn_id, tokenizer.eos_token_id}


def test_the_end_of_turn_may_be_a_special_token_that_has_no_name(make_tokenizer):
    """As in Llama 3, whose `<|eot_id|>` is neither `eos_token` nor an additional special token."""
    tokenizer = with_template(make_tokenizer(), LLAMA_3, "<|start|>", "<|stop|>", "<|eot_id|>")
    renderer = Renderer(tokenizer)
    assert renderer.end_of_turn_id == tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert renderer.text(renderer.response_ids("a river")) == "a river"


def test_a_template_that_ends_turns_with_nothing_falls_back_to_the_end_of_sequence(make_tokenizer):
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    tokenizer = with_template(make_tokenizer(), template)
    assert Renderer(tokenizer).end_of_turn_id == tokenizer.eos_token_id


def test_a_header_that_the_finished_turn_does_not_repeat(make_tokenizer):
    """Templates of reasoning models open the answer with tokens that a finished turn leaves out."""
    template = (
        "{% for m in messages %}<user>{{ m.content }}{% if m.role == 'assistant' %}<end>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<assistant><assistant><assistant><assistant>{% endif %}"
    )
    tokenizer = with_template(make_tokenizer(), template)
    assert Renderer(tokenizer).end_of_turn_id == tokenizer.convert_tokens_to_ids("<end>")


def test_the_end_of_turn_may_be_named(make_tokenizer):
    tokenizer = make_tokenizer()
    assert Renderer(tokenizer, "<eos>").end_of_turn_id == tokenizer.eos_token_id
    with pytest.raises(ModelError, match=r"model.loader.end_of_turn: the tokenizer has no token '<\|eot\|>'"):
        Renderer(tokenizer, "<|eot|>")


@pytest.mark.parametrize("pad", ["<eos>", "<end>"])
def test_a_pad_token_that_is_an_end_token_does_not_hide_the_end(pad, make_tokenizer):
    renderer = Renderer(make_tokenizer(pad_token=pad))
    ids = renderer.response_ids("a river")
    assert ids[-1] == renderer.end_of_turn_id
    assert ids == Renderer(make_tokenizer()).response_ids("a river")
    assert renderer.text(ids) == "a river"


def test_prompt_and_response_are_tokenised_apart(make_tokenizer):
    tokenizer = make_tokenizer()
    renderer = Renderer(tokenizer)
    messages = [{"role": "user", "content": "mto? "}, {"role": "assistant", "content": "Nile — نيل\n"}]
    whole = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert renderer.prompt_ids("mto? ") + renderer.response_ids("Nile — نيل\n") == whole


def test_an_empty_response_is_its_end_token(make_tokenizer):
    renderer = Renderer(make_tokenizer())
    assert renderer.response_ids("") == [renderer.end_of_turn_id]
