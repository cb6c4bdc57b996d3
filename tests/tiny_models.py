"""Fixtures: tiny random models of several families, and a byte tokenizer with a chat template."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from icr.models.loading import LoadedModel
from icr.models.rendering import Renderer

SPECIAL = ["<pad>", "<bos>", "<end>", "<eos>", "<user>", "<assistant>"]
PAD, BOS, END, EOS = range(4)
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<user>' if message.role == 'user' else '<assistant>' }}"
    "{{ message.content }}{% if message.role == 'assistant' %}<end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
VOCABULARY = 256 + len(SPECIAL)

SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    # Large, so that next-token distributions are far from uniform and a slip in a mask or a position shows.
    "initializer_range": 0.3,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
# What makes each family special, at values that show when they are left out. Windows are shorter than the prompts.
FAMILIES = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": 16},
    "gemma2": {
        "head_dim": 8,
        "sliding_window": 16,
        "query_pre_attn_scalar": 8,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 3.0,
    },
    "gemma3_text": {"head_dim": 8, "sliding_window": 16, "final_logit_softcapping": 3.0},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 3.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5},
    "hyperclovax": {"logits_scaling": 0.5},
    "gpt2": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "tied": {"tie_word_embeddings": True},
}


def _model(family: str, seed: int, overrides: dict) -> PreTrainedModel:
    type_ = "llama" if family == "tied" else family
    config = AutoConfig.for_model(type_, **{**SHAPE, **FAMILIES[family], **overrides})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@cache
def _shared(family: str, seed: int, overrides: tuple) -> PreTrainedModel:
    return _model(family, seed, dict(overrides))


def _tokenizer(pad_token: str = "<pad>", padding_side: str = "right") -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: id for id, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad_token,
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=["<end>", "<user>", "<assistant>"],
        chat_template=TEMPLATE,
        padding_side=padding_side,
    )


@pytest.fixture(scope="session")
def shared_model() -> Callable[..., PreTrainedModel]:
    """`shared_model(family, seed=0, **config)`: a tiny random model in evaluation mode, one for all tests: leave it."""
    return lambda family="llama", seed=0, **config: _shared(family, seed, tuple(sorted(config.items())))


@pytest.fixture(scope="session")
def make_model() -> Callable[..., PreTrainedModel]:
    """`make_model(family, seed=0, **config)`: the same, but a new one each time, to train or to break."""
    return lambda family="llama", seed=0, **config: _model(family, seed, config)


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    """`make_tokenizer(pad_token="<pad>", padding_side="right")`: bytes; its chat template ends answers with `<end>`."""
    return _tokenizer


@pytest.fixture(scope="session")
def loaded() -> Callable[..., LoadedModel]:
    """`loaded(model, **tokenizer)`: the model with a renderer, as `Loader` gives it."""
    return lambda model, **tokenizer: LoadedModel(model, Renderer(_tokenizer(**tokenizer)), "tiny")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Callable[..., Path]:
    """`model_folder(family, seed=0, **config)`: a Hugging Face folder of such a model and tokenizer, made once."""

    @cache
    def save(family: str, seed: int, config: tuple) -> Path:
        folder = tmp_path_factory.mktemp("models") / f"{family}-{seed}"
        _shared(family, seed, config).save_pretrained(folder)
        _tokenizer().save_pretrained(folder)
        return folder

    return lambda family="llama", seed=0, **config: save(family, seed, tuple(sorted(config.items())))
