"""Tiny GGUF files, written as llama.cpp's converter does: names, permuted heads, norms with their one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import PreTrainedModel

from tests.tiny_models import BOS, EOS, PAD, SPECIAL, TEMPLATE

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
}
NORMS = {
    "llama": {"post_attention_layernorm": "ffn_norm"},
    "gemma3": {
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    },
}
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
TOKENS = [*SPECIAL, *ALPHABET, "th"]
"""Those of the tiny tokenizer, and one that a merge makes: GGUF has no list without an entry."""
CONTROL, NORMAL = 3, 1


def write_gguf(
    model: PreTrainedModel,
    file: Path,
    kind: str = "F32",
    *,
    metadata: Mapping[str, object] | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
    without: str = "",
    template: str | None = TEMPLATE,
) -> Path:
    """`model` (Llama or Gemma 3) as a GGUF file with its matrices in the type `kind`, and a byte tokenizer.

    Args:
        metadata: more entries, by their whole keys.
        extra: more tensors.
        without: part of the names of tensors to leave out.
    """
    architecture = "gemma3" if model.config.model_type == "gemma3_text" else "llama"
    writer = gguf.GGUFWriter(file, architecture)
    _describe(writer, model, architecture)
    _tokenizer(writer, template)
    for key, value in (metadata or {}).items():
        add = {str: writer.add_string, float: writer.add_float32, int: writer.add_uint32}[type(value)]
        add(key, value)
    for name, values in {**_tensors(model, architecture), **(extra or {})}.items():
        if not without or without not in name:
            type_ = gguf.GGMLQuantizationType[kind if values.ndim > 1 else "F32"]
            writer.add_tensor(name, gguf.quantize(values, type_), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _describe(writer: gguf.GGUFWriter, model: PreTrainedModel, architecture: str) -> None:
    config = model.config
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    if architecture == "gemma3":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_sliding_window(config.sliding_window)
    else:
        writer.add_rope_dimension_count(config.head_dim)


def _tokenizer(writer: gguf.GGUFWriter, template: str | None) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(TOKENS)
    writer.add_token_types([CONTROL] * len(SPECIAL) + [NORMAL] * (len(ALPHABET) + 1))
    writer.add_token_merges(["t h"])  # Of which there is no token: a tokenizer without merges cannot be written.
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_pad_token_id(PAD)
    if template is not None:
        writer.add_chat_template(template)


def _tensors(model: PreTrainedModel, architecture: str) -> dict[str, np.ndarray]:
    names, config = NAMES | NORMS[architecture], model.config
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    found = {}
    for key, parameter in model.named_parameters():
        parts = re.fullmatch(r"(?:model\.layers\.(?P<block>\d+)\.)?(?P<name>.+)\.(?P<end>weight|bias)", key)
        name, values = names[parts["name"]], parameter.detach().float()
        if architecture == "llama" and name in heads:
            values = values.unflatten(0, (heads[name], 2, -1)).transpose(1, 2).reshape(values.shape)
        if architecture == "gemma3" and name.endswith("norm"):
            values = values + 1
        block = f"blk.{parts['block']}." if parts["block"] else ""
        found[f"{block}{name}.{parts['end']}"] = values.contiguous().numpy()
    return found


@pytest.fixture(scope="session")
def gguf_model(tmp_path_factory, shared_model) -> Callable[..., Path]:
    """`gguf_model(family="llama", kind="F32", seed=0, **config)`: a GGUF file of such a tiny model."""

    def make(family: str = "llama", kind: str = "F32", seed: int = 0, **config: object) -> Path:
        with torch.no_grad():
            model = shared_model(family, seed, **{"vocab_size": len(TOKENS), **config})
            return write_gguf(model, tmp_path_factory.mktemp("gguf") / f"{family}-{kind}.gguf", kind)

    return make
