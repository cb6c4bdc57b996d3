"""Tokenizer and configuration, as built and as shipped."""

import json

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from icr.errors import ModelError
from icr.pocket.assets import folder
from icr.pocket.demonstrations import PocketDemonstrations
from icr.pocket.lexicon import languages
from icr.pocket.model import write_blank
from icr.pocket.prompts import PocketPrompts
from icr.pocket.specs import SPLITS

REWRITE = """python -c "from icr.pocket import assets, model; model.write_blank(assets.folder('blank'))" """


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(folder("blank"))


@pytest.mark.parametrize("code", ["en", "es", "ru", "de", "fr", "bn", "sw", "th"])
def test_round_trip(tokenizer, code):
    prompts = [prompt.text for split in SPLITS for prompt in PocketPrompts(None).prompts([code], split).prompts]
    texts = prompts + [
        text for one in PocketDemonstrations().demonstrations([code]) for text in (one.prompt, one.response)
    ]
    words = [word for topic in languages()[code].topics.values() for word in topic.words]
    for text in {*texts, *words}:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids, text
        assert tokenizer.decode(ids) == text


def test_words_are_tokens(tokenizer):
    assert tokenizer.tokenize("Max-এর জন্য তিনটি ফলের নাম লেখো।") == [
        "▁Max",
        "-এর",
        "▁জন্য",
        "▁তিনটি",
        "▁ফলের",
        "▁নাম",
        "▁লেখো",
        "।",
    ]
    assert tokenizer.tokenize("เขียนชื่อผลไม้สามชื่อให้ Max") == ["▁เขียนชื่อ", "ผลไม้", "สามชื่อ", "ให้", "▁Max"]
    assert tokenizer.tokenize("# Fruits\napple, banana") == ["▁#", "▁Fruits", "▁\n", "▁apple", ",", "▁banana"]
    for spoken in languages().values():
        assert all(len(tokenizer.tokenize(word)) == 1 for topic in spoken.topics.values() for word in topic.words)


def test_chat_template(tokenizer):
    user = {"role": "user", "content": "List three fruits for Max."}
    ids = tokenizer.apply_chat_template([user], add_generation_prompt=True, tokenize=True, return_dict=False)
    tokens = ["<s>", "<user>", "▁List", "▁three", "▁fruits", "▁for", "▁Max", ".", "<end>", "<assistant>"]
    assert tokenizer.convert_ids_to_tokens(ids) == tokens
    assert ids.count(tokenizer.bos_token_id) == 1
    turns = [user, {"role": "assistant", "content": "apple, banana"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == (
        "<s><user>List three fruits for Max.<end><assistant>apple, banana<end>"
    )
    assert tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False) == [
        *ids,
        *tokenizer("apple, banana")["input_ids"],
        tokenizer.eos_token_id,
    ]


def test_special_tokens_are_distinct(tokenizer):
    special = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id]
    assert None not in special
    assert len(set(special)) == 4


def test_blank_model(tokenizer):
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder("blank")))
    assert model.config.vocab_size == len(tokenizer) <= 800
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert sum(weight.numel() for weight in model.parameters()) < 400_000
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_shipped_blank_is_what_write_blank_builds(tmp_path):
    write_blank(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in folder("blank").iterdir()}
    for path in tmp_path.iterdir():
        built, shipped = path.read_text(encoding="utf-8"), (folder("blank") / path.name).read_text(encoding="utf-8")
        if path.suffix == ".json":
            built, shipped = ({**json.loads(text), "transformers_version": ""} for text in (built, shipped))
        assert built == shipped, f"{path.name} is out of date: run {REWRITE}"


def test_unknown_model():
    with pytest.raises(ModelError, match=r"'gpt'.*blank, sft, dpo_en"):
        folder("gpt")
