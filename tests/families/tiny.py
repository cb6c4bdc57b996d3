"""Every causal language model of transformers, tiny and random, with attention windows of a few tokens."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from icr.models import randomness

TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
"""Model types that `AutoModelForCausalLM` knows."""

VOCABULARY, WINDOW = 120, 32

SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY,
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "embedding_size", "word_embed_proj_dim", "emb_dim"), 32),
    **dict.fromkeys(
        ("intermediate_size", "moe_intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim"), 64
    ),
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers", "decoder_layers", "encoder_layers"), 4),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_head", "n_heads", "attention_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_target_positions"), 1024),
    **dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "num_experts_per_token"), 2),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group", "n_groups", "mamba_n_groups", "mamba_ngroups"), 1),
    **dict.fromkeys(("sliding_window", "attention_window_size", "window_size", "sliding_window_size"), WINDOW),
    **dict.fromkeys(("attention_chunk_size", "local_attention"), 2 * WINDOW),
    **dict.fromkeys(("initializer_range", "init_std"), 0.3),
    "num_key_value_heads": 2,
    "head_dim": 8,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "qk_head_dim": 16,
    "v_head_dim": 8,
    "rotary_dim": 8,
    **dict.fromkeys(("index_n_heads", "linear_num_heads", "linear_num_key_heads", "linear_num_value_heads"), 2),
    **dict.fromkeys(("linear_head_dim", "linear_key_head_dim", "linear_value_head_dim", "swa_head_dim", "d_rel"), 8),
    **dict.fromkeys(("index_head_dim", "rel_extent", "shared_expert_intermediate_size", "mamba_chunk_size"), 16),
    **dict.fromkeys(
        ("expert_ffn_hidden_size", "ffn_hidden_size", "intermediate_size_mlp", "attention_hidden_size"), 32
    ),
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 2,
    "zero_expert_num": 2,
    "initializer_factor": 1.0,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "is_decoder": True,
}
"""Sizes by the names that configurations have for them. Random weights are large, so that a slip shows."""

MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 16}

OWN: dict[str, dict[str, Any]] = {
    "bamba": MAMBA | {"attn_layer_indices": [1, 3]},
    "cohere_compass_text": {
        "layer_types": ["full_attention"] * 4,
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}},
    },
    "deepseek_v2": {"head_dim": None, "num_experts_per_tok": 2},
    "doge": {"sliding_window": WINDOW},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "dots3_note_text": {"num_key_value_heads": 4},
    "falcon_h1": MAMBA | {"mamba_d_ssm": 64},
    "gemma3n_text": {"num_kv_shared_layers": 0, "hidden_size_per_layer_input": 8, "laurel_rank": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": MAMBA | {"layer_types": ["mamba", "attention"] * 2},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mamba2": {"num_heads": 8, "head_dim": 8, "chunk_size": 16},
    "ministral": {"head_dim": 8, "layer_types": ["sliding_attention", "full_attention"] * 2},
    "nemotron": {"num_key_value_heads": 2},
    "phimoe": {"sliding_window": WINDOW},
    "qwen4_exp_text": {"num_key_value_heads": 2},
    "recurrent_gemma": {"logits_soft_cap": 3.0},
    "reformer": {"axial_pos_shape": [32, 32], "axial_pos_embds_dim": [8, 24], "attention_head_size": 8},
    "xlstm": {
        "hidden_size": 64,
        "embedding_dim": 64,
        "num_blocks": 4,
        "output_logit_soft_cap": 3.0,
        "qk_dim_factor": 1.0,
    },
    "xmod": {"default_language": "en_XX"},
    "zamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "num_key_value_heads": 4, "attention_head_dim": 16},
    "zamba2": {
        "layers_block_type": ["mamba", "hybrid"] * 2,
        "n_mamba_heads": 8,
        "mamba_headdim": 8,
        "num_key_value_heads": 4,
        "attention_head_dim": 16,
        "attention_hidden_size": 64,
        "chunk_size": 16,
    },
    "zaya": {"num_experts_per_tok": 1},
}
"""What the types need besides, or what makes them special."""

TOO_LARGE = {"blt": "a model of bytes that is three models in one configuration"}

RANDOM = ("dropout", "pdrop", "layerdrop", "jitter_noise")

COMPOSED = (
    "emu3", "fuyu", "gemma3", "gemma3n", "gemma4", "gemma4_unified", "git", "got_ocr2", "llama4", "mllama",
    "moss_transcribe_diarize", "phi4_multimodal", "qwen3_5", "qwen3_5_moe", "dots3_note", "musicgen", "musicgen_melody",
)  # fmt: skip
"""Types that wrap a text model of this list in encoders of images or sound."""


def config_of(model_type: str) -> PretrainedConfig:
    """A small configuration of the type."""
    kind, own = CONFIG_MAPPING[model_type], OWN.get(model_type, {})
    stock = kind().to_dict() if model_type != "gemma4_assistant" else {}
    given = {name: value for name, value in SHAPE.items() if stock.get(name) is not None}
    if "kv_lora_rank" in stock and "num_key_value_heads" in stock:
        given["num_key_value_heads"] = SHAPE["num_attention_heads"]
    return kind(**{**given, **own})


def build(model_type: str, random: float = 0.0) -> PreTrainedModel:
    """A model as `icr.models.Loader` leaves it: randomness off, evaluation mode.

    Args:
        random: value of every kind of dropout and jitter in its configuration, before they are switched off.
    """
    config = config_of(model_type)
    if random:
        names = [name for name in vars(config) if any(part in name for part in RANDOM)]
        for name in names:
            setattr(config, name, random if type(getattr(config, name)) in (int, float) else getattr(config, name))
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomness.switch_off(model)
    return model.eval()
