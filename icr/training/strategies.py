"""How a training is spread over the processes of a run, by Lightning's strategies. Config group `strategy`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from lightning.pytorch.plugins.precision import Precision as LightningPrecision
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, ModelParallelStrategy
from lightning.pytorch.strategies import Strategy as LightningStrategy
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from icr import distributed
from icr.errors import ConfigError
from icr.models.arithmetic import Arithmetic
from icr.models.loading import LoadedModel
from icr.modules.token_logps import TokenLogps
from icr.training.precision import ARITHMETIC, PRECISIONS, Precision, RoundedByDeepSpeed, plugin


@dataclass(frozen=True)
class Sharding:
    """Over how many devices each part of a training is split; 1 where every device holds all of it.

    Attributes:
        weights, gradients, states: of the model, and of its optimiser.
    """

    weights: int = 1
    gradients: int = 1
    states: int = 1


class Strategy(Protocol):
    """What a training asks of a strategy.

    Attributes:
        precisions: values of `trainer.precision` that it takes.
        accumulates: whether an optimiser step may be cut into several micro-batches.
        shards: whether the weights are split, which 4-bit weights and 8-bit optimisers do not bear.
        master_weights: whether steps are added to a float32 copy of 16-bit weights.
    """

    precisions: ClassVar[tuple[str, ...]]
    accumulates: ClassVar[bool]
    shards: ClassVar[bool]
    master_weights: ClassVar[bool]

    def sharding(self, devices: int) -> Sharding:
        """What a training on so many devices splits."""

    def arithmetic(self, precision: Precision) -> Arithmetic:
        """What it makes of `trainer.precision`."""

    def plugin(self, precision: Precision, device: str) -> LightningPrecision:
        """Lightning's precision plugin that goes with it, a new one for each training."""

    def lightning(self) -> LightningStrategy | str:
        """Lightning's strategy, a new one for each training."""

    def shard(self, policy: TokenLogps, mesh: DeviceMesh) -> None:
        """Spread the weights over `mesh`, where the strategy does."""

    def whole(self, trained: LoadedModel, load: Callable[[], LoadedModel]) -> LoadedModel:
        """The trained model as an ordinary one, on rank 0. Called on all ranks; `load` loads what it started from."""


class OneArithmetic:
    """What strategies have in common that compute as a single process does."""

    def arithmetic(self, precision: Precision) -> Arithmetic:
        """Weights are rounded, or products cast, as the name says."""
        return ARITHMETIC[precision]

    def plugin(self, precision: Precision, device: str) -> LightningPrecision:
        """The one that goes with it."""
        return plugin(precision, device)


@dataclass(frozen=True)
class DDP(OneArithmetic):
    """Data parallel: each process holds the whole model, and gradients are averaged. In one process, no strategy."""

    precisions: ClassVar[tuple[str, ...]] = PRECISIONS
    accumulates: ClassVar[bool] = True
    shards: ClassVar[bool] = False
    master_weights: ClassVar[bool] = False

    def sharding(self, devices: int) -> Sharding:
        """Every device holds all."""
        return Sharding()

    def lightning(self) -> LightningStrategy | str:
        """`DDPStrategy`."""
        return DDPStrategy(gradient_as_bucket_view=True) if distributed.size() > 1 else "auto"

    def shard(self, policy: TokenLogps, mesh: DeviceMesh) -> None:
        """Each process keeps all weights."""

    def whole(self, trained: LoadedModel, load: Callable[[], LoadedModel]) -> LoadedModel:
        """The trained model itself, which every process holds."""
        return trained


@dataclass(frozen=True)
class FSDP2(OneArithmetic):
    """Fully sharded data parallel: weights, gradients and optimiser states are split over the processes.

    Attributes:
        reshard_after_forward: free a layer's weights after its forward pass, and gather them again in the backward
            pass: less memory, more traffic.
    """

    reshard_after_forward: bool = True

    precisions: ClassVar[tuple[str, ...]] = ("32-true", "bf16-true", "bf16-mixed", "16-true")
    accumulates: ClassVar[bool] = True
    shards: ClassVar[bool] = True
    master_weights: ClassVar[bool] = False

    def sharding(self, devices: int) -> Sharding:
        """All is split over all devices."""
        return Sharding(devices, devices, devices)

    def lightning(self) -> LightningStrategy | str:
        """`ModelParallelStrategy`, whose checkpoints are folders that every rank writes its part of."""
        if distributed.size() == 1:
            return "auto"
        return ModelParallelStrategy(data_parallel_size=distributed.size(), tensor_parallel_size=1)

    def shard(self, policy: TokenLogps, mesh: DeviceMesh) -> None:
        """One group of weights per decoder layer, and one for embeddings, last norm and head."""
        for module in list(policy.modules()):
            if type(module).__name__ in (policy.policy._no_split_modules or ()):
                fully_shard(module, mesh=mesh, reshard_after_forward=self.reshard_after_forward)
        fully_shard(policy, mesh=mesh)

    def whole(self, trained: LoadedModel, load: Callable[[], LoadedModel]) -> LoadedModel:
        """The gathered weights in a model loaded afresh: a sharded one cannot save itself."""
        if distributed.size() == 1:
            return trained
        options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
        weights = get_model_state_dict(trained.model, options=options)
        if distributed.rank():
            return trained
        fresh = load()
        unknown = fresh.model.load_state_dict(weights, strict=False).unexpected_keys
        if unknown:
            raise RuntimeError(f"the trained weights {unknown} are not in {fresh.path}")
        return fresh


@dataclass(frozen=True)
class DeepSpeed:
    """DeepSpeed's ZeRO: optimiser states (stage 1) and gradients (2) are split over the processes.

    Stage 3, which splits weights too, is what `FSDP2` does.

    Attributes:
        stage: 1 or 2.

    Raises:
        ValueError: another stage.
        ConfigError: DeepSpeed is not installed.
    """

    stage: int = 2

    precisions: ClassVar[tuple[str, ...]] = ("32-true", "bf16-true", "bf16-mixed")
    accumulates: ClassVar[bool] = False  # Its engine would keep a last, shorter step to itself.
    shards: ClassVar[bool] = False
    master_weights: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.stage not in (1, 2):
            raise ValueError(f"stage must be 1 or 2, got {self.stage}; strategy=fsdp2 splits the weights too")
        if importlib.util.find_spec("deepspeed") is None:
            raise ConfigError(
                "strategy=deepspeed needs deepspeed, which is not installed: pip install 'icr[deepspeed]'. It runs on "
                "CUDA alone."
            )

    def sharding(self, devices: int) -> Sharding:
        """The optimiser's states, and from stage 2 on the gradients."""
        return Sharding(gradients=devices if self.stage == 2 else 1, states=devices)

    def arithmetic(self, precision: Precision) -> Arithmetic:
        """Its engine computes with rounded weights, also where the name says mixed, and keeps a float32 copy."""
        return Arithmetic(weights=None if precision == "32-true" else "bfloat16")

    def plugin(self, precision: Precision, device: str) -> LightningPrecision:
        """DeepSpeed's, which leaves batches alone."""
        return RoundedByDeepSpeed(precision)  # type: ignore[arg-type]  # One of `precisions`.

    def lightning(self) -> LightningStrategy | str:
        """`DeepSpeedStrategy`."""
        return DeepSpeedStrategy(stage=self.stage, logging_batch_size_per_gpu=1)

    def shard(self, policy: TokenLogps, mesh: DeviceMesh) -> None:
        """Each process keeps all weights."""

    def whole(self, trained: LoadedModel, load: Callable[[], LoadedModel]) -> LoadedModel:
        """The trained model itself, which every process holds."""
        return trained
