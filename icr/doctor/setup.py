"""How a run lays its models out: devices, sharding, quantisation, precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.optim import Optimizer
from transformers import PreTrainedModel

from icr.config import Settings
from icr.doctor.plan.architecture import Architecture
from icr.doctor.plan.rehearsal import Rehearsal
from icr.errors import ConfigError
from icr.models import Quantisation
from icr.models.dtypes import torch_dtype
from icr.models.memory import checkpoint_activations
from icr.training import Sharding


@dataclass(frozen=True)
class Setup:
    """What a plan reads off the settings.

    Attributes:
        devices: in all, over all nodes.
        accelerator: `cuda` or `cpu`, whichever the plan is for.
        settings: of the run.
    """

    devices: int
    accelerator: str
    settings: Settings

    @property
    def engine(self) -> bool:
        """Whether sampling is done by an engine beside this process."""
        return self.settings.sampling.tokens_per_batch is None

    @property
    def device(self) -> str:
        """Where models are loaded on this machine."""
        return self.accelerator if torch.cuda.is_available() else "cpu"

    @property
    def sharding(self) -> Sharding:
        """Over how many devices a training is split."""
        return self.settings.strategy.sharding(self.devices)

    @property
    def one_at_a_time(self) -> bool:
        """Whether the models of the reward pair take turns on the device."""
        return self.settings.reward_pair.residency == "one"

    @property
    def quantisation(self) -> Quantisation | None:
        """Quantisation of the policy's frozen weights; None where they have none."""
        adapter = self.settings.adapter
        return adapter.quantisation if adapter else None

    def loaded(self, model: Architecture) -> Quantisation | None:
        """Quantisation of `model` where it is loaded but not trained; None without."""
        quantisation = self.quantisation
        return quantisation if quantisation and quantisation.reaches(model.base is not None) else None

    def optimizer(self) -> Optimizer:
        """The run's optimiser, of one weight."""
        return self.settings.optim.optimizer([torch.nn.Parameter(torch.zeros(1))])

    @property
    def foreach(self) -> bool:
        """Whether the optimiser works on all parameters at once, with a copy of them: torch's own, on a GPU."""
        made = self.optimizer()
        own = type(made).__module__.startswith("torch.optim")
        return self.accelerator == "cuda" and own and not made.defaults.get("fused")

    @property
    def checkpointing(self) -> bool:
        """Whether activations are computed again in the backward pass."""
        return self.settings.trainer.gradient_checkpointing

    @property
    def policy_dtype(self) -> torch.dtype:
        """Dtype of the weights that are trained."""
        rounded = self.settings.arithmetic.weights
        return torch_dtype(rounded) if rounded else self.loader_dtype

    @property
    def loader_dtype(self) -> torch.dtype:
        """Dtype of weights as they are loaded."""
        return torch_dtype(self.settings.model.loader.dtype)

    @property
    def training_dtype(self) -> torch.dtype:
        """Dtype in which training multiplies."""
        return self.autocast or self.policy_dtype

    @property
    def autocast(self) -> torch.dtype | None:
        """Dtype of products under autocast in training; None without."""
        cast = self.settings.arithmetic.products
        return torch_dtype(cast) if cast else None

    @property
    def keeps_master_weights(self) -> bool:
        """Whether steps are added to a float32 copy of weights that are rounded."""
        return self.settings.strategy.master_weights and self.settings.arithmetic.weights is not None

    @property
    def accumulates(self) -> bool:
        """Whether a device goes through several micro-batches per step."""
        settings = self.settings.trainer
        return settings.global_batch_size > settings.micro_batch_size * self.devices

    def rehearsal(self, model: Architecture, *, trains: bool, rounded: bool = True) -> Rehearsal:
        """The model on fake tensors, as it is trained (or before, with its weights not rounded) or as it scores."""
        return Rehearsal(
            model.config,
            self.policy_dtype if trains and rounded else self.loader_dtype,
            self.settings.model.loader.attn_implementation,
            self.accelerator,
            prepare=self._for_training if trains else _frozen,
            autocast=self.autocast if trains and rounded else None,
        )

    def _for_training(self, model: PreTrainedModel) -> PreTrainedModel:
        adapter, loader = self.settings.adapter, self.settings.model.loader
        if adapter:
            adapter.add_to(model, self.settings.model.path, 0)
        loader.mark_trained(model, adapted=adapter is not None)
        if self.checkpointing:
            checkpoint_activations(model)
        return model


def setup_of(settings: Settings, accelerator: str) -> Setup:
    """Count the devices that the settings ask for.

    Raises:
        ConfigError: there are as many as the machine has (`auto`), and it has none.
    """
    trainer = settings.trainer
    return Setup(_count(str(trainer.devices)) * trainer.num_nodes, accelerator, settings)


def _count(devices: str) -> int:
    if devices in ("auto", "-1"):
        return max(1, torch.cuda.device_count())
    if "," in devices:
        return len([part for part in devices.split(",") if part])
    if int(devices) < 1:
        raise ConfigError(f"trainer.devices must be at least 1, got {devices}.")
    return int(devices)


def _frozen(model: PreTrainedModel) -> PreTrainedModel:
    model.requires_grad_(False)
    return model
