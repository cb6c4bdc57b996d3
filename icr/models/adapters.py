"""LoRA adapters and 4-bit weights, through peft and bitsandbytes. Config group `adapter`.

An adapter folder (`adapter_config.json`, `adapter_model.safetensors`, a tokenizer) stands wherever a model folder can.
The adapter is injected into the model, which stays the `PreTrainedModel` that it was.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.utils.hub import cached_file

from icr.checks import require_counts, require_either, require_number
from icr.errors import ConfigError, ModelError, one_line
from icr.models.folder import ADAPTER_WEIGHTS, reading

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig

TRAINED = "default"
"""peft's name of the adapter that a model was loaded with or trains."""


@dataclass(frozen=True)
class Quantisation:
    """4-bit weights under an adapter (Dettmers et al. 2023, QLoRA); computed with in the loader's dtype.

    Attributes:
        type: `nf4`, whose levels suit normally distributed weights, or `fp4`.
        double: whether the scales are quantised too (0.4 bits per weight less).
        everything: whether frozen models without an adapter (reward pair, training reference) are loaded so as well.

    Raises:
        ValueError: the type is unknown.
        ConfigError: bitsandbytes is not installed.
    """

    type: str = "nf4"
    double: bool = True
    everything: bool = False

    def __post_init__(self) -> None:
        require_either("type", self.type, "nf4", "fp4")
        require("bitsandbytes", "adapter=qlora")

    def reaches(self, adapted: bool) -> bool:
        """Whether it is done to a model that is loaded, which has an adapter or not."""
        return adapted or self.everything

    def config(self, dtype: torch.dtype) -> BitsAndBytesConfig:
        """What `from_pretrained` takes."""
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.type,
            bnb_4bit_use_double_quant=self.double,
            bnb_4bit_compute_dtype=dtype,
        )


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2022): `W·x + (alpha/r)·B·A·x` with `A` and `B` trained, `W` frozen.

    There is no dropout: policy and reference log-probs must be of the same function.

    Attributes:
        r: rank of `B·A`.
        alpha: scale of the adapter, divided by `r`.
        target_modules: `all-linear` (every linear layer but the head), or names of modules by their end, as peft's.
        quantisation: 4-bit weights under the adapter; None leaves them in the loader's dtype.
        merge: whether each round also saves `merged/`, the model with the adapter added to its weights.

    Raises:
        ValueError: a value is out of range.
        ConfigError: peft is not installed.
    """

    r: int = 16
    alpha: float = 32
    target_modules: str | Sequence[str] = "all-linear"
    quantisation: Quantisation | None = None
    merge: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        require_counts(self, "r")
        require_number("alpha", self.alpha, above=0)
        names = [self.target_modules] if isinstance(self.target_modules, str) else self.target_modules
        if not isinstance(names, Sequence) or not names or not all(isinstance(n, str) and n for n in names):
            raise ValueError(f"target_modules must be all-linear or a list, as in [q_proj,v_proj], got {names!r}")
        require("peft", "adapter=lora")

    def add_to(self, model: PreTrainedModel, base: str, seed: int) -> None:
        """Give `model` a fresh adapter, which changes nothing yet: `A` is drawn with `seed`, `B` is zero.

        Raises:
            ModelError: the model has none of the target modules.
        """
        from peft import LoraConfig

        names = self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)
        if names != "all-linear" and isinstance(names, str):
            names = [names]
        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # Only divided by `r`; need not be an integer.
            target_modules=names,
            lora_dropout=0.0,
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            _inject(model, config, TRAINED, base, "adapter.target_modules")


def load_adapter(model: PreTrainedModel, path: str, name: str = TRAINED) -> None:
    """Put the adapter at `path` on `model` as `name`, trainable and active, its weights in float32.

    Raises:
        ModelError: it cannot be read, or does not fit this model.
    """
    from peft import PeftConfig
    from peft.functional import set_peft_model_state_dict

    with reading(f"The adapter {path}"):
        config = PeftConfig.from_pretrained(path)
        weights = load_file(str(cached_file(path, ADAPTER_WEIGHTS)))
    config.inference_mode = False
    base = config.base_model_name_or_path
    _inject(model, config, name, base, f"The adapter {path}")
    weights = {key.removeprefix("base_model.model."): value for key, value in weights.items()}
    try:
        found: Any = set_peft_model_state_dict(model, weights, adapter_name=name)
    except RuntimeError as error:
        raise ModelError(f"The adapter {path} was made for another model than {base}: shapes differ.") from error
    missing = [key for key in found.missing_keys if f".{name}." in key and ".lora_" in key]
    if missing or found.unexpected_keys:
        key = (missing or found.unexpected_keys)[0]
        raise ModelError(f"The adapter {path} was made for another model than {base}: {key} has no counterpart.")


def shape_of(model: PreTrainedModel) -> tuple[int, float]:
    """Rank and scale of the adapter that `model` was loaded with."""
    config = cast("LoraConfig", model.peft_config[TRAINED])
    return config.r, config.lora_alpha


def is_quantised(model: PreTrainedModel) -> bool:
    """Whether its weights are in 4 or 8 bits."""
    return bool(vars(model).get("is_quantized"))


def check_kernels(model: PreTrainedModel, path: str) -> PreTrainedModel:
    """Hold bitsandbytes to the numbers that it has on a GPU, where 4-bit weights lie on a CPU.

    Raises:
        ModelError: it would compute with wrong weights.
    """
    # Only newer versions of bitsandbytes have the switch, and the kernels behind it.
    layers: list[Any] = [module for module in model.modules() if "support_avx512bf16_for_cpu" in vars(module)]
    for layer in layers if model.device.type == "cpu" else []:
        # It repacks weights for evaluation, with scales in bfloat16: what is scored and what is trained would differ.
        layer.support_avx512bf16_for_cpu = False
        state = layer.weight.quant_state
        if state.shape[-1] % state.blocksize:
            raise ModelError(
                f"The model {path} cannot be had in 4 bits on a CPU: a layer has {state.shape[-1]} inputs, and there "
                f"bitsandbytes reads weights wrongly unless it is a multiple of {state.blocksize}. Choose adapter=lora."
            )
    return model


def switch(model: PreTrainedModel, *, on: bool) -> None:
    """Let the active adapter take part in what the model computes, or not."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    for module in model.modules():
        if isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper)):
            module.enable_adapters(on)


def record_base(model: PreTrainedModel, base: str) -> None:
    """Have the adapter name its model by a path that holds from every folder, and its modules in one order."""
    config = cast("LoraConfig", model.peft_config[model.active_adapters()[0]])
    config.base_model_name_or_path = str(Path(base).resolve()) if Path(base).exists() else base
    if isinstance(config.target_modules, (set, list)):
        config.target_modules = sorted(config.target_modules)


def merged(model: PreTrainedModel, path: str) -> PreTrainedModel:
    """`model`, the one that the adapter at `path` lies on, with the adapter added to its weights.

    Raises:
        ModelError: the adapter cannot be read, or does not fit this model.
    """
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            # Between peft and transformers: a renamed property, and a setting that peft puts right.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing|fan_in_fan_out is set to False")
            whole: PreTrainedModel = PeftModel.from_pretrained(model, path).merge_and_unload(safe_merge=True)
            return whole
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"The adapter {path} cannot be merged: {one_line(error)}") from error


def require(package: str, what: str) -> None:
    """Refuse `what` where its package is missing.

    Raises:
        ConfigError: naming the extra that brings it.
    """
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"{what} needs {package}, which is not installed: pip install 'icr[quantisation]'.")


def _inject(model: PreTrainedModel, config: PeftConfig, name: str, base: str, where: str) -> None:
    from peft.functional import cast_adapter_dtype

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`|fan_in_fan_out is set to False")
            model.add_adapter(config, name)
    except ValueError as error:
        raise ModelError(f"{where}: {one_line(error)} ({base})") from error
    # Small steps vanish in bfloat16 weights, and the adapter's are few.
    cast_adapter_dtype(model, name)
    config.base_model_name_or_path = base
