"""GGUF files through transformers: their configuration, tokenizer and weights, as those of an ordinary folder.

Reading metadata takes transformers 10 to 20 seconds where the vocabulary is large, and several parts of a run ask: what
was read is kept while the file stays as it is.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from icr.errors import ModelError
from icr.models.folder import reading
from icr.models.gguf import from_pretrained_of, header_of
from icr.models.gguf_header import Header
from icr.models.gguf_rope import FREQUENCIES, restore_scaling

TOKENS = {"bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "pad_token_id": "padding_token_id"}
"""Keys of a configuration, and of `tokenizer.ggml` in a GGUF file."""
LAYERS_OF_27B = {"gemma2": 46, "gemma3": 62}


def gguf_configuration(path: str) -> PreTrainedConfig:
    """The configuration that the file's metadata make: with its special tokens and the scaling of its positions, which
    transformers leaves at the family's defaults.

    Raises:
        ModelError: the file cannot be used, transformers does not know its architecture, or its positions are scaled in
            a way that no configuration says.
    """
    return copy.deepcopy(_configuration(path, _state(header_of(path).file)))


def gguf_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer in the file, or a `tokenizer.json` beside it, as transformers prefers.

    Raises:
        ModelError: the file cannot be used, or has no tokenizer that transformers can make.
    """
    return copy.deepcopy(_tokenizer(path, _state(header_of(path).file)))


def gguf_options(path: str) -> dict[str, object]:
    """More of what `from_pretrained` takes, for ordinary weights in the place of blocks."""
    return {"config": gguf_configuration(path), "quantization_config": GgufConfig(dequantize=True)}


def check_all_read(model: PreTrainedModel, path: str) -> None:
    """Refuse a model that has not all weights of its file: transformers passes over tensors that it has no place for.

    Raises:
        ModelError: it has fewer, or more.
    """
    twice = {FREQUENCIES, "output.weight"} if model.config.tie_word_embeddings else {FREQUENCIES}
    stored = sum(tensor.count for name, tensor in header_of(path).tensors.items() if name not in twice)
    held = sum({tensor.data_ptr(): tensor.numel() for tensor in model.state_dict().values()}.values())
    if stored != held:
        raise ModelError(
            f"The GGUF file {path} has {stored:,} weights, and the {type(model).__name__} that transformers makes of "
            f"it {held:,}: that is not the model that the file holds. Give the model as its authors published it."
        )


@contextmanager
def quietly() -> Iterator[None]:
    """Within it, transformers draws no progress bar, of which it has one that is not for switching off."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def _state(file: Path) -> tuple[int, int, int]:
    """What changes when the file does."""
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=4)
def _configuration(path: str, state: tuple[int, int, int]) -> PreTrainedConfig:
    header = header_of(path)
    source, file = from_pretrained_of(path)
    with reading(f"The metadata of {path}"):
        config: PreTrainedConfig = AutoConfig.from_pretrained(source, **file)
        _name_tokens(config, header)
        restore_scaling(config, header, path)
        scale_attention(config, header)
    return config


@lru_cache(maxsize=4)
def _tokenizer(path: str, state: tuple[int, int, int]) -> PreTrainedTokenizerBase:
    source, file = from_pretrained_of(path)
    with reading(f"The tokenizer of {path}"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, **file)
        return _without_surplus(tokenizer, int(header_of(path).metadata.get("tokenizer.ggml.tokens", len(tokenizer))))


def _without_surplus(tokenizer: PreTrainedTokenizerBase, count: int) -> PreTrainedTokenizerBase:
    """The tokenizer without tokens beyond the file's.

    transformers' class for vocabularies of bytes adds GPT-2's `<|endoftext|>` where there is none, as in Llama 3: a
    text that holds it would have an id for which the model has no row.
    """
    if all(id < count for id in tokenizer.added_tokens_decoder):
        return tokenizer
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    described["added_tokens"] = [token for token in described["added_tokens"] if token["id"] < count]
    backend = Tokenizer.from_str(json.dumps(described))
    own = tokenizer.special_tokens_map
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=tokenizer.chat_template, **own)


def scale_attention(config: PreTrainedConfig, header: Header) -> None:
    """Have `config` scale attention as Gemma 2 and 3 27B do: by channels per head, where other sizes take the head's.

    No metadata say so; llama.cpp knows these models by their numbers of layers, too.
    """
    if LAYERS_OF_27B.get(header.architecture) == config.num_hidden_layers:
        config.query_pre_attn_scalar = config.hidden_size // config.num_attention_heads


def _name_tokens(config: PreTrainedConfig, header: Header) -> None:
    for name, key in TOKENS.items():
        if not isinstance(getattr(config, name, None), list):  # Several ends of a generation, which no file can name.
            setattr(config, name, header.metadata.get(f"tokenizer.ggml.{key}"))
