"""Loading a policy, a reference and their tokenizer: folders or hub names of models and of adapters.

Safetensors, and no remote code by default.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from icr.errors import ModelError, near_folder, one_line
from icr.logps.family import stated
from icr.models import adapters, randomness
from icr.models.dtypes import torch_dtype
from icr.models.folder import ADAPTER_CONFIG, CONFIG, base_of
from icr.models.memory import move
from icr.models.rendering import Renderer
from icr.models.whole import load_whole


@dataclass
class LoadedModel:
    """A model with its renderer, and the folder or hub name that it came from.

    Attributes:
        base: path of the model whose weights lie frozen under its adapter; None where it has no adapter.
    """

    model: PreTrainedModel
    renderer: Renderer
    path: str
    base: str | None = None

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face folder (configuration, safetensors, tokenizer), or peft's of the adapter.

        Raises:
            OSError: it cannot be written, such as on a full disk.
        """
        if self.base:
            adapters.record_base(self.model, self.base)
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
        adapter: what a model that is loaded for training gets (config group `adapter`); None trains all its weights.
    """

    dtype: str = "float32"
    attn_implementation: str = ""
    end_of_turn: str = ""
    pad_token: str = ""
    chat_template: str = ""
    trust_remote_code: bool = False
    frozen: tuple[str, ...] = ()
    adapter: adapters.Lora | None = None

    def __post_init__(self) -> None:
        torch_dtype(self.dtype)

    def renderer(self, path: str) -> Renderer:
        """The tokenizer of `path`, checked.

        Raises:
            ModelError: there is no such folder, or its tokenizer lacks a chat template, a pad or an end token.
        """
        check_exists(path)
        base = base_of(path)
        if base:
            _check_base(path, base)
        # An adapter may have been saved without a tokenizer.
        bare = base and Path(path).is_dir() and not (Path(path) / "tokenizer_config.json").is_file()
        try:
            tokenizer = AutoTokenizer.from_pretrained(base if bare else path, trust_remote_code=self.trust_remote_code)
        except (OSError, ValueError) as error:
            raise ModelError(f"The tokenizer of {path} cannot be loaded: {one_line(error)}") from error
        if self.pad_token:
            if self.pad_token not in tokenizer.get_vocab():
                raise ModelError(f"model.loader.pad_token: the tokenizer of {path} has no token {self.pad_token!r}.")
            tokenizer.pad_token = self.pad_token
        if self.chat_template:
            tokenizer.chat_template = self.chat_template
        check_tokenizer(tokenizer, path)
        return Renderer(tokenizer, self.end_of_turn)

    def load(self, path: str, device: torch.device | str = "cpu") -> LoadedModel:
        """Model, adapter if it is one, and tokenizer of `path`, in evaluation mode, dropout off.

        Raises:
            ModelError: it cannot be loaded, or is not a causal language model.
        """
        renderer = self.renderer(path)
        base = base_of(path)
        model = self._weights(base or path, device, self._quantisation(path))
        if base:
            adapters.load_adapter(model, path)
        return self._ready(LoadedModel(model, renderer, path, base), device)

    def load_for_training(self, path: str, seed: int, device: torch.device | str = "cpu") -> LoadedModel:
        """What a training starts from: the model at `path` as it is, or with the adapter that is to be trained.

        The adapter at `path` is trained on, a model at `path` is given a fresh one, drawn with `seed`. Where no adapter
        is asked for, all weights are trained, and an adapter at `path` becomes part of them.

        Raises:
            ModelError: as `load`; or the adapter has another rank or scale than asked for, or all of a model that is
                quantised would be trained.
        """
        base = base_of(path)
        if not self.adapter:
            start = self.load_merged(path, device) if base else self.load(path, device)
            if adapters.is_quantised(start.model):
                raise ModelError(f"The weights of {path} are quantised and cannot be trained; choose adapter=lora.")
            return start
        if base:
            start = self.load(path, device)
            r, alpha = adapters.shape_of(start.model)
            if (r, alpha) != (self.adapter.r, self.adapter.alpha):
                raise ModelError(f"To go on with the adapter {path}, set its adapter.r={r} adapter.alpha={alpha:g}.")
            return start
        renderer = self.renderer(path)
        model = self._weights(path, device, self.adapter.quantisation)
        self.adapter.add_to(model, path, seed)
        return self._ready(LoadedModel(model, renderer, path, path), device)

    def load_merged(self, path: str, device: torch.device | str = "cpu") -> LoadedModel:
        """The adapter at `path` added to the weights of its model: these are in the loader's dtype, never in 4 bits.

        Raises:
            ModelError: as `load`.
        """
        renderer = self.renderer(path)
        model = adapters.merged(self._weights(base_of(path) or path, device, None), path)
        return self._ready(LoadedModel(model, renderer, path), device)

    def quantises(self, path: str) -> bool:
        """Whether `load` makes 4-bit weights of the model at `path`, or of the one that the adapter there lies on."""
        return self._quantisation(path) is not None

    def mark_trained(self, model: PreTrainedModel, *, adapted: bool) -> None:
        """Ask gradients of what is trained: an adapter's weights, or else all, without those named `frozen`."""
        for name, parameter in model.named_parameters():
            trains = parameter.requires_grad if adapted else parameter.is_floating_point()
            parameter.requires_grad = trains and not any(part in name for part in self.frozen)

    def initialise(self, path: str, seed: int) -> LoadedModel:
        """A randomly initialised model of the configuration at `path`, for training from scratch."""
        renderer = self.renderer(path)
        config = AutoConfig.from_pretrained(path, trust_remote_code=self.trust_remote_code)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_config(
                config, dtype=torch_dtype(self.dtype), attn_implementation=self.attn_implementation or None
            )
        return self._ready(LoadedModel(model, renderer, path), "cpu")

    def _quantisation(self, path: str) -> adapters.Quantisation | None:
        quantisation = self.adapter.quantisation if self.adapter else None
        return quantisation if quantisation and quantisation.reaches(base_of(path) is not None) else None

    def _weights(
        self, path: str, device: torch.device | str, quantisation: adapters.Quantisation | None
    ) -> PreTrainedModel:
        dtype = torch_dtype(self.dtype)
        # Only what is quantised goes straight to the device: adapters are drawn on the CPU, alike for every device.
        options: dict[str, object] = {}
        if quantisation:
            options = {"quantization_config": quantisation.config(dtype), "device_map": {"": str(device)}}
        model = load_whole(
            path,
            dtype=dtype,
            attn_implementation=self.attn_implementation or None,
            trust_remote_code=self.trust_remote_code,
            **options,
        )
        return adapters.check_kernels(model, path)

    def _ready(self, loaded: LoadedModel, device: torch.device | str) -> LoadedModel:
        model = loaded.model
        randomness.switch_off(model)
        self.mark_trained(model, adapted=loaded.base is not None)
        move(model, device)
        model.eval()
        return loaded


def check_exists(path: str) -> None:
    """Refuse a path that is neither a folder nor looks like a hub name (`owner/name`).

    Raises:
        ModelError: naming the folder, and a similar one beside it where there is one.
    """
    folder = Path(path)
    if folder.is_dir():
        if not any((folder / name).is_file() for name in (CONFIG, ADAPTER_CONFIG)):
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
    config = AutoConfig.from_pretrained(base_of(path) or path, trust_remote_code=trust_remote_code)
    positions: int | None = stated(config.get_text_config(), "max_position_embeddings")
    return positions


def _check_base(path: str, base: str) -> None:
    adapters.require("peft", f"The adapter {path}")
    try:
        check_exists(base)
    except ModelError as error:
        raise ModelError(
            f"The adapter {path} lies on another model: {error} Put it there, or set base_model_name_or_path in its "
            f"adapter_config.json."
        ) from error
