"""Presets under conf/model: the prompt format of each family, exactly, and the size that its shape makes.

The templates are those that the families publish; TRL ships three of them, to recognise models by.
"""

from __future__ import annotations

from importlib.resources import files

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from icr.config import conf_dir
from icr.models.loading import Loader

TEMPLATES = files("trl") / "chat_templates"
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
"""What Zephyr's tokenizer holds: without the begin-of-sequence token and the empty system turn of its training."""

TOKENIZERS = {
    "llama3_8b": {
        "chat_template": (TEMPLATES / "llama3.jinja").read_text(encoding="utf-8"),
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|end_of_text|>",
        "added": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    },
    "mistral_7b": {"chat_template": ZEPHYR, "bos_token": "<s>", "eos_token": "</s>", "added": []},
    "qwen2_5_7b": {
        "chat_template": (TEMPLATES / "qwen2_5.jinja").read_text(encoding="utf-8"),
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "added": ["<|im_start|>", "<|endoftext|>"],
    },
    "gemma2_9b": {
        "chat_template": (TEMPLATES / "gemma.jinja").read_text(encoding="utf-8"),
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "added": ["<start_of_turn>", "<end_of_turn>", "<pad>"],
    },
    "gemma3_270m": {
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "added": ["<start_of_turn>", "<end_of_turn>", "<pad>"],
    },
}
RENDERED = {
    "llama3_8b": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nName a river.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral_7b": "<s><|system|>\n</s>\n<|user|>\nName a river.</s>\n<|assistant|>\n",
    "qwen2_5_7b": "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nName a river.<|im_end|>\n<|im_start|>assistant\n",
    "gemma2_9b": "<bos><start_of_turn>user\nName a river.<end_of_turn>\n<start_of_turn>model\n",
    "gemma3_270m": "<bos>Question: Name a river.\nAnswer:\n",
}
ENDS = {
    "llama3_8b": "<|eot_id|>",
    "mistral_7b": "</s>",
    "qwen2_5_7b": "<|im_end|>",
    "gemma2_9b": "<end_of_turn>",
    "gemma3_270m": "<eos>",
}
STOPS = {"llama3_8b": 2, "mistral_7b": 1, "qwen2_5_7b": 1, "gemma2_9b": 2, "gemma3_270m": 1}
PARAMETERS = {
    "llama3_8b": 8_030_261_248,
    "mistral_7b": 7_241_732_096,
    "qwen2_5_7b": 7_615_616_512,
    "gemma2_9b": 9_241_705_984,
    "gemma3_270m": 268_098_176,
}
"""As the models' cards count them."""


def preset(name: str) -> dict:
    return yaml.safe_load((conf_dir() / "model" / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def renderer(tmp_path_factory):
    """`renderer(name)`: the preset's renderer of a byte tokenizer with the family's special tokens and template."""

    def make(name: str, **replaced):
        described = dict(TOKENIZERS[name])
        special = [
            token for token in (described["bos_token"], described["eos_token"], *described.pop("added")) if token
        ]
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokenizer = Tokenizer(models.BPE(vocab={token: id for id, token in enumerate(alphabet)}, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
        folder = tmp_path_factory.mktemp(name)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **described).save_pretrained(folder)
        AutoConfig.for_model(preset(name)["shape"]["model_type"]).save_pretrained(folder)
        loader = OmegaConf.to_container(OmegaConf.create(preset(name)["loader"]), resolve=True)
        return Loader(**loader, **replaced).renderer(str(folder))

    return make


def test_every_preset_is_tested():
    shaped = {path.stem for path in (conf_dir() / "model").glob("*.yaml") if preset(path.stem).get("shape")}
    assert shaped == set(RENDERED) == set(PARAMETERS) == set(ENDS)


@pytest.mark.parametrize("name", RENDERED)
def test_the_prompt_is_the_familys_exactly(name, renderer):
    rendering = renderer(name)
    ids = rendering.prompt_ids("Name a river.")
    assert rendering.tokenizer.decode(ids) == RENDERED[name]
    begin = rendering.tokenizer.bos_token_id
    assert ids.count(begin) == (begin is not None)


@pytest.mark.parametrize("name", RENDERED)
def test_the_answer_ends_with_the_familys_token_which_the_template_agrees_with(name, renderer):
    rendering = renderer(name)
    tokenizer = rendering.tokenizer
    end = tokenizer.convert_tokens_to_ids(ENDS[name])
    assert rendering.end_of_turn_id == end
    assert type(rendering)(tokenizer).end_of_turn_id == end
    assert len(rendering.stop_ids) == STOPS[name]
    ids = rendering.response_ids("The Nile.")
    assert tokenizer.decode(ids) == f"The Nile.{ENDS[name]}"
    messages = [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "The Nile."}]
    whole = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    prompt = rendering.prompt_ids("Name a river.")
    assert whole[: len(prompt) + len(ids)] == prompt + ids


@pytest.mark.parametrize("name", RENDERED)
def test_there_is_a_pad_token(name, renderer):
    assert renderer(name).tokenizer.pad_token == preset(name)["loader"]["pad_token"]


def test_zephyrs_own_template_lacks_what_its_training_had(renderer):
    published = PreTrainedTokenizerFast(
        tokenizer_object=renderer("mistral_7b").tokenizer.backend_tokenizer,
        **{key: value for key, value in TOKENIZERS["mistral_7b"].items() if key != "added"},
    )
    user = {"role": "user", "content": "Name a river."}
    system = {"role": "system", "content": ""}
    options = {"tokenize": False, "add_generation_prompt": True}
    assert published.apply_chat_template([user], **options) == "<|user|>\nName a river.</s>\n<|assistant|>\n"
    # The training put an empty system turn before it, and the tokenizer its begin-of-sequence token.
    assert "<s>" + published.apply_chat_template([system, user], **options) == RENDERED["mistral_7b"]


def test_a_template_that_is_given_travels_with_the_model(renderer, tmp_path):
    tokenizer = renderer("mistral_7b").tokenizer
    tokenizer.save_pretrained(tmp_path)
    AutoConfig.for_model("mistral").save_pretrained(tmp_path)
    again = Loader().renderer(str(tmp_path))
    assert again.tokenizer.decode(again.prompt_ids("Name a river.")) == RENDERED["mistral_7b"]


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_shape_makes_a_model_of_the_size_on_its_card(name):
    shape = preset(name)["shape"]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape))
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert all(getattr(model.config, key) == value for key, value in shape.items())
