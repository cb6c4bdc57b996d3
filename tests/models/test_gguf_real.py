"""Gemma 3 270M as a real GGUF file, where there is one: ICR_GEMMA_GGUF names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from icr.config import conf_dir
from icr.models import Loader

FILE = os.environ.get("ICR_GEMMA_GGUF", "")
pytestmark = pytest.mark.skipif(not FILE, reason="ICR_GEMMA_GGUF names no GGUF file of Gemma 3 270M")

TEMPLATE = conf_dir().parent / "icr/models/templates/question_answer.jinja"
ENGLISH = (
    "The Nile is a river in north-eastern Africa. It flows north into the Mediterranean Sea, and was long held to be "
    "the longest river in the world. Most of the people of Egypt live along its banks, where the soil is good."
)
TEXTS = {
    "en": "The quick brown fox jumps over the lazy dog.",
    "es": "¿Cómo está usted, señor Muñoz?",
    "de": "Die Straßenbahn fährt über die Brücke.",
    "fr": "L’été, ça va très bien à Nîmes.",
    "ru": "Съешь ещё этих мягких французских булок.",
    "sw": "Habari ya asubuhi, rafiki yangu.",
    "bn": "আমি বাংলায় গান গাই।",
    "th": "ภาษาไทยเป็นภาษาที่สวยงาม",
    "without tokens of its own": "ꙮ 𓀀",
    "white space": "one\n\n  two\n\n\nthree \n",
}


@pytest.fixture(scope="module")
def loaded():
    return Loader(end_of_turn="<eos>", pad_token="<pad>", chat_template=str(TEMPLATE)).load(FILE)


def nll(model, ids: list[int]) -> float:
    """Mean negative log-prob of a token given those before it, in nats."""
    with torch.no_grad():
        return model(torch.tensor([ids]), labels=torch.tensor([ids])).loss.item()


def test_logits_are_those_of_plain_transformers_and_the_model_knows_english(loaded):
    plain = AutoModelForCausalLM.from_pretrained(
        str(Path(FILE).parent), gguf_file=Path(FILE).name, dtype=torch.float32
    ).eval()
    ids = loaded.renderer.tokenizer(ENGLISH).input_ids
    with torch.no_grad():
        ours, theirs = (model(torch.tensor([ids])).logits for model in (loaded.model, plain))
    assert torch.equal(ours, theirs)
    assert 4 < torch.tensor(nll(loaded.model, ids)).exp() < 20
    shuffled = [ids[0], *sorted(ids[1:])]
    assert nll(loaded.model, shuffled) > nll(loaded.model, ids) + 2


@pytest.mark.parametrize("name", TEXTS)
def test_texts_come_back_from_their_tokens(name, loaded):
    tokenizer = loaded.renderer.tokenizer
    ids = tokenizer(TEXTS[name]).input_ids
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids[1:]) == TEXTS[name]
    by_bytes = any(token.startswith("<0x") for token in tokenizer.convert_ids_to_tokens(ids))
    assert by_bytes == (name == "without tokens of its own")


def test_special_tokens_are_one_id_each(loaded):
    tokenizer = loaded.renderer.tokenizer
    expected = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<start_of_turn>": 105, "<end_of_turn>": 106}
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in expected} == expected
    assert tokenizer("<start_of_turn>user\n", add_special_tokens=False).input_ids[0] == 105


def test_a_prompt_has_one_begin_and_an_answer_ends_with_the_end_of_the_sequence(loaded, tmp_path):
    renderer = loaded.renderer
    prompt, answer = renderer.prompt_ids(TEXTS["bn"]), renderer.response_ids("Fine.")
    tokenizer = renderer.tokenizer
    assert tokenizer.decode(prompt) == f"<bos>Question: {TEXTS['bn']}\nAnswer:\n"
    assert tokenizer.convert_ids_to_tokens(answer) == ["Fine", ".", "<eos>"]
    tokenizer.save_pretrained(tmp_path)
    messages = [{"role": "user", "content": TEXTS["bn"]}]
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.apply_chat_template(messages, add_generation_prompt=True, return_dict=False) == prompt
    assert all(again(text).input_ids == tokenizer(text).input_ids for text in TEXTS.values())
