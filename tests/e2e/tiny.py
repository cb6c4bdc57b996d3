"""Tiny models and prompt files that the end-to-end tests make for themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from icr.models.loading import Loader
from icr.pocket.assets import folder

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def pocket_model(path: Path, seed: int) -> str:
    """The embedded world's configuration with random weights."""
    Loader().initialise(str(folder("blank")), seed).save(path)
    return str(path)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, so that any language can be written."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|user|>", "<|assistant|>"],
    )
    fast.chat_template = TEMPLATE
    return fast


def byte_llama(path: Path, seed: int, *, context: int, hidden: int = 16) -> str:
    """A Llama of one layer over bytes, its end-of-turn token made likely enough for some responses to end."""
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=context,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def write_prompts(path: Path, texts: Mapping[str, Sequence[str]]) -> str:
    """A folder of `<lang>.jsonl`, joined by the place of a text in its list."""
    path.mkdir(parents=True)
    for language, instructions in texts.items():
        rows = [{"instruction": text, "instruction_id": f"id-{n}"} for n, text in enumerate(instructions)]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (path / f"{language}.jsonl").write_text(lines, encoding="utf-8")
    return str(path)
