"""Loading a policy, a reference and their tokenizer: folders or hub names, safetensors, no remote code by default."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from icr.arguments import near_folder
from icr.errors import ModelError
from icr.models.rendering import Renderer


@dataclass
class LoadedModel:
    """A model with its renderer, and the folder or hub name that it came from."""

    model: PreTrainedModel
    renderer: Renderer
    path: str

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face folder: configuration, safetensors, tokenizer.

        Raises:
            OSError: it cannot be written, such as on a full disk.
        """
        try:
            self.model.save_pretrained(folder)
        except SafetensorError as error:
            if not (code := re.search(r"os error (\d+)", str(error))):
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(folder)) from error
        self.renderer.tokenizer.save_pretrained(folder)


@dataclass(frozen=True)
class Loader:
    """How models are loaded. Config group `model`.

    Attributes:
        dtype: of the weights, such as `float32` or `bfloat16`.
        attn_implementation: `sdpa`, `eager`, `flash_attention_2`…; empty takes `sdpa` where the family has it, else
            what transformers has for it (Gemma 2 has no `sdpa`).
        end_of_turn: token that ends an assistant turn; empty takes the chat template's.
        pad_token: pad token for tokenizers without one (masks go by position, so it may equal the end token).
        chat_template: Jinja template in place of the tokenizer's, for models that were trained in another format.
        trust_remote_code: whether a model's own code may run.
        frozen: names of parameters that training leaves alone, by a part of their name (such as `embed_tokens`).
    """

    dtype: str = "float32"
    attn_implementation: str = ""
    end_of_turn: str = ""
    pad_token: str = ""
    chat_template: str = ""
    trust_remote_code: bool = False
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(getattr(torch, self.dtype, None), torch.dtype):
            raise ValueError(f"dtype must be a torch dtype such as float32 or bfloat16, got {self.dtype!r}")

    def renderer(self, path: str) -> Renderer:
        """The tokenizer of `path`, checked.

        Raises:
            ModelError: there is no such folder, or its tokenizer lacks a chat template, a pad or an end token.
        """
        check_exists(path)
        try:
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=self.trust_remote_code)
        except (OSError, ValueError) as error:
            raise ModelError(f"The tokenizer of {path} cannot be loaded: {_brief(error)}") from error
        if self.pad_token:
            if self.pad_token not in tokenizer.get_vocab():
                raise ModelError(f"model.loader.pad_token: the tokenizer of {path} has no token {self.pad_token!r}.")
            tokenizer.pad_token = self.pad_token
        if self.chat_template:
            tokenizer.chat_template = self.chat_template
        check_tokenizer(tokenizer, path)
        return Renderer(tokenizer, self.end_of_turn)

    def load(self, path: str, device: torch.device | str = "cpu") -> LoadedModel:
        """Model and tokenizer of `path`, in evaluation mode, dropout off.

        Raises:
            ModelError: it cannot be loaded, or is not a causal language model.
        """
        renderer = self.renderer(path)
        try:
            model = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=getattr(torch, self.dtype),
                attn_implementation=self.attn_implementation or None,
                trust_remote_code=self.trust_remote_code,
                use_safetensors=True,
            )
        except (OSError, ValueError) as error:
            raise ModelError(f"The model {path} cannot be loaded: {_brief(error)}") from error
        return self._ready(model, renderer, path, device)

    def initialise(self, path: str, seed: int) -> LoadedModel:
        """A randomly initialised model of the configuration at `path`, for training from scratch."""
        renderer = self.renderer(path)
        config = AutoConfig.from_pretrained(path, trust_remote_code=self.trust_remote_code)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_config(
                config, dtype=getattr(torch, self.dtype), attn_implementation=self.attn_implementation or None
            )
        return self._ready(model, renderer, path, "cpu")

    def _ready(self, model: PreTrainedModel, renderer: Renderer, path: str, device: torch.device | str) -> LoadedModel:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            # Attention and layer dropout are plain numbers, such as `attention_dropout` and `layerdrop`.
            for name, value in vars(module).items():
                if "drop" in name and isinstance(value, float):
                    setattr(module, name, 0.0)
        for name, parameter in model.named_parameters():
            parameter.requires_grad = not any(part in name for part in self.frozen)
        return LoadedModel(model.to(device).eval(), renderer, path)


def check_exists(path: str) -> None:
    """Refuse a path that is neither a folder nor looks like a hub name (`owner/name`).

    Raises:
        ModelError: naming the folder, and a similar one beside it where there is one.
    """
    folder = Path(path)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"The model folder {path} has no config.json; give a folder that save_pretrained wrote.")
        return
    if str(path).count("/") == 1 and not str(path).startswith((".", "/", "~")) and not folder.parent.is_dir():
        return
    raise ModelError(f"The model folder {path} does not exist.{near_folder(folder)}")


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


def context_length(path: str, trust_remote_code: bool = False) -> int | None:
    """Most positions that the model at `path` takes, from its configuration; None where it states none."""
    config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:299] + "…"
