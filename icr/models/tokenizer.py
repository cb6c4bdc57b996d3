"""Tokenizers of models: read, and refused where they cannot serve."""

from __future__ import annotations

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from icr.errors import ModelError
from icr.models.folder import reading
from icr.models.gguf import gguf_file
from icr.models.gguf_reading import gguf_tokenizer
from icr.models.rendering import Renderer


def load_tokenizer(path: str, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer at `path`, whatever it lacks.

    Raises:
        ModelError: it cannot be read.
    """
    if gguf_file(path):
        return gguf_tokenizer(path)
    with reading(f"The tokenizer of {path}"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    return tokenizer


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, path: str) -> None:
    """Refuse a tokenizer that cannot render, end or pad a turn.

    Raises:
        ModelError: saying what is missing and what to do.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            f"The tokenizer of {path} has no chat template, so prompts cannot be rendered; give the one that the "
            f"model was trained with, as model.loader.chat_template or as `chat_template` in its tokenizer_config.json."
        )
    if tokenizer.eos_token_id is None:
        raise ModelError(f"The tokenizer of {path} has no end token; set `eos_token` in its tokenizer_config.json.")
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"The tokenizer of {path} has no pad token; give one with model.loader.pad_token='{tokenizer.eos_token}' "
            f"(masks go by position here, so the end token serves) or set `pad_token` in its tokenizer_config.json."
        )


def check_same_vocabulary(policy: Renderer, reference: Renderer, policy_path: str, reference_path: str) -> None:
    """Refuse a pair whose log-probs are not about the same tokens.

    Raises:
        ModelError: naming a token that differs.
    """
    ours, theirs = policy.tokenizer.get_vocab(), reference.tokenizer.get_vocab()
    if ours == theirs:
        return
    different = sorted(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
    token = different[0]
    raise ModelError(
        f"The reward pair has different vocabularies: policy {policy_path} ({len(ours)} tokens) and reference "
        f"{reference_path} ({len(theirs)} tokens) differ in {len(different)} tokens, such as {token!r} "
        f"({ours.get(token)} against {theirs.get(token)}). Both must come from the same tokenizer."
    )
