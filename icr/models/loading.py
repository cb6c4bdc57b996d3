"""Loading a policy, a reference and their tokenizer: folders or hub names of models and of adapters, and GGUF files.

Safetensors, and no remote code by default.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel

from icr.errors import ModelError
from icr.models import adapters, randomness
from icr.models.configuration import configuration
from icr.models.dtypes import torch_dtype
from icr.models.folder import base_of, check_exists, reading
from icr.models.gguf import gguf_file, refuse_gguf
from icr.models.memory import move, reclaim
from icr.models.rendering import Renderer
from icr.models.template import template_text
from icr.models.tokenizer import check_tokenizer, load_tokenizer
from icr.models.whole import load_whole


@dataclass
class LoadedModel:
    """A model with its renderer, and the folder, hub name or GGUF file that it came from.

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
            with warnings.catch_warnings():
                # peft looks for the configuration of the model under an adapter, which a GGUF file has within.
                warnings.filterwarnings("ignore", message="Could not find a config file")
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
        chat_template: Jinja template in place of the tokenizer's, for models that were trained in another format, or
            none: its text, or a file `*.jinja`, whose text stands here from then on.
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
        object.__setattr__(self, "chat_template", template_text(self.chat_template))

    def renderer(self, path: str) -> Renderer:
        """The tokenizer of `path`, checked.

        Raises:
            ModelError: there is no such folder; its configuration or tokenizer cannot be read; or its tokenizer lacks a
                chat template that renders conversations, a pad or an end token.
        """
        check_exists(path)
        base = base_of(path)
        if base:
            _check_base(path, base)
        if self._quantisation(path):
            refuse_gguf(base or path, "adapter=qlora")
        # An adapter may have been saved without a tokenizer.
        bare = base and Path(path).is_dir() and not (Path(path) / "tokenizer_config.json").is_file()
        if Path(base or path).is_dir() or gguf_file(base or path):
            configuration(path, self.trust_remote_code)  # Else transformers takes an unknown family for some other one.
        tokenizer = load_tokenizer(base if base and bare else path, self.trust_remote_code)
        if self.pad_token:
            if self.pad_token not in tokenizer.get_vocab():
                raise ModelError(f"model.loader.pad_token: the tokenizer of {path} has no token {self.pad_token!r}.")
            tokenizer.pad_token = self.pad_token
        if self.chat_template:
            tokenizer.chat_template = self.chat_template
        check_tokenizer(tokenizer, path)
        return Renderer(tokenizer, self.end_of_turn, self._template_of(path))

    def _template_of(self, path: str) -> str:
        return "model.loader.chat_template" if self.chat_template else f"The chat template of {path}"

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
        """Ask gradients of what is trained: an adapter's weights, or else all, without those named `frozen`.

        Raises:
            ModelError: `frozen` names no weight of this model, or all that would be trained.
        """
        weights = dict(model.named_parameters())
        for part in self.frozen:
            if not any(part in name for name in weights):
                raise ModelError(
                    f"model.loader.frozen: {part!r} is in the name of no weight of this model; one is called "
                    f"{next(iter(weights))!r}."
                )
        trained = {
            name
            for name, weight in weights.items()
            if (weight.requires_grad if adapted else weight.is_floating_point())
        }
        left = {name for name in trained if not any(part in name for part in self.frozen)}
        if trained and not left:
            raise ModelError(
                f"model.loader.frozen={list(self.frozen)} leaves nothing to train: every weight that would be, such as "
                f"{min(trained)!r}, has one of these in its name."
            )
        for name, weight in weights.items():
            weight.requires_grad = name in left

    def initialise(self, path: str, seed: int) -> LoadedModel:
        """A randomly initialised model of the configuration at `path`, for training from scratch."""
        renderer = self.renderer(path)
        config = configuration(path, self.trust_remote_code)
        with reading(f"The model {path}"), torch.random.fork_rng():
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
        reclaim()
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


def _check_base(path: str, base: str) -> None:
    adapters.require("peft", f"The adapter {path}")
    try:
        check_exists(base)
    except ModelError as error:
        raise ModelError(
            f"The adapter {path} lies on another model: {error} Put it there, or set base_model_name_or_path in its "
            f"adapter_config.json."
        ) from error
