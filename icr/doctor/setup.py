"""How a run lays its models out: devices, sharding, adapters, quantisation, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from icr.config import Settings
from icr.doctor.plan.architecture import Architecture
from icr.doctor.plan.rehearsal import Rehearsal
from icr.errors import ConfigError
from icr.models.memory import checkpoint_activations
from icr.rounds.regenerate import PART
from icr.training.fit import TrainerSettings

TRUE = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}
MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Setup:
    """What a plan reads off the settings.

    Attributes:
        devices: in all, over all nodes.
        strategy: class of the training's strategy, where there are several.
        accelerator: `cuda` or `cpu`, whichever the plan is for.
        settings: of the run.
    """

    devices: int
    strategy: str
    accelerator: str
    settings: Settings

    @property
    def samples(self) -> bool:
        """Whether a round samples responses."""
        return self.settings.samples

    @property
    def scores(self) -> bool:
        """Whether a round scores them with the reward pair."""
        return self.settings.scores

    @property
    def engine(self) -> bool:
        """Whether sampling is done outside of this process."""
        return not hasattr(self.settings.sampling, "tokens_per_batch")

    @property
    def part(self) -> int:
        """Prompts sampled at a time, at most."""
        return getattr(self.settings.sampling, "prompts_per_part", PART)

    @property
    def device(self) -> str:
        """Where models are loaded on this machine."""
        return self.accelerator if torch.cuda.is_available() else "cpu"

    @property
    def weight_shards(self) -> int:
        """Devices over which the weights that are trained are cut."""
        return self.devices if self.strategy == "FSDP2" else 1

    @property
    def gradient_shards(self) -> int:
        """The same of their gradients."""
        return self.devices if self.strategy == "FSDP2" or self._zero >= 2 else 1

    @property
    def state_shards(self) -> int:
        """The same of the optimiser's states."""
        return self.devices if self.strategy == "FSDP2" or self._zero >= 1 else 1

    @property
    def _zero(self) -> int:
        """Stage of DeepSpeed's ZeRO; 0 without it."""
        return self.settings.strategy.stage if self.strategy == "DeepSpeed" else 0

    @property
    def one_at_a_time(self) -> bool:
        """Whether the models of the reward pair take turns on the device."""
        return self.settings.reward_pair.residency == "one"

    @property
    def adapter(self) -> Any:
        """The adapter that is trained; None trains all weights."""
        return self.settings.model.loader.adapter

    @property
    def quantisation(self) -> bool | None:
        """Of the policy's frozen weights: None, or whether the scales are quantised too."""
        quantisation = getattr(self.adapter, "quantisation", None)
        return quantisation.double if quantisation else None

    @property
    def pair_quantisation(self) -> bool | None:
        """The same of models that are not trained and have no adapter."""
        quantisation = getattr(self.adapter, "quantisation", None)
        return quantisation.double if quantisation and quantisation.everything else None

    @property
    def foreach(self) -> bool:
        """Whether the optimiser works on all parameters at once, with a copy of them: torch's own, on a GPU."""
        parameter = torch.nn.Parameter(torch.zeros(1))
        made = self.settings.optim.optimizer([parameter])
        own = type(made).__module__.startswith("torch.optim")
        return self.accelerator == "cuda" and own and not made.defaults.get("fused")

    @property
    def checkpointing(self) -> bool:
        """Whether activations are computed again in the backward pass."""
        return self.settings.trainer.gradient_checkpointing

    @property
    def policy_dtype(self) -> torch.dtype:
        """Of the weights that are trained."""
        return TRUE.get(self.settings.trainer.precision, self.loader_dtype)

    @property
    def loader_dtype(self) -> torch.dtype:
        """Of weights as they are loaded."""
        return getattr(torch, self.settings.model.loader.dtype)

    @property
    def training_dtype(self) -> torch.dtype:
        """In which training multiplies."""
        return MIXED.get(self.settings.trainer.precision, self.policy_dtype)

    def accumulates(self, settings: TrainerSettings) -> bool:
        """Whether a device goes through several micro-batches a step."""
        return settings.global_batch_size > settings.micro_batch_size * self.devices

    def rehearsal(self, model: Architecture, *, trains: bool) -> Rehearsal:
        """The model on fake tensors, as it is trained or as it is scored with."""
        return Rehearsal(
            model.config,
            self.policy_dtype if trains else self.loader_dtype,
            self.settings.model.loader.attn_implementation,
            self.accelerator,
            prepare=self._for_training if trains else _frozen,
            autocast=MIXED.get(self.settings.trainer.precision) if trains else None,
        )

    def _for_training(self, model: PreTrainedModel) -> PreTrainedModel:
        if self.adapter:
            self.adapter.add_to(model, self.settings.model.path, 0)
        for name, parameter in model.named_parameters():
            parameter.requires_grad &= not any(part in name for part in self.settings.model.loader.frozen)
        if self.checkpointing:
            checkpoint_activations(model)
        return model


def setup_of(settings: Settings, accelerator: str) -> Setup:
    """Count the devices that the settings ask for.

    Raises:
        ConfigError: there are as many as the machine has (`auto`), and it has none.
    """
    trainer = settings.trainer
    devices = _count(str(trainer.devices)) * getattr(trainer, "num_nodes", 1)
    strategy = type(getattr(settings.training, "strategy", None)).__name__ if devices > 1 else "single"
    return Setup(devices, strategy, accelerator, settings)


def _count(devices: str) -> int:
    if devices in ("auto", "-1"):
        return max(1, torch.cuda.device_count())
    if "," in devices:
        return len([part for part in devices.split(",") if part])
    if int(devices) < 1:
        raise ConfigError(f"trainer.devices must be at least 1, got {devices}.")
    return int(devices)


def _frozen(model: PreTrainedModel) -> PreTrainedModel:
    return model.requires_grad_(False)
