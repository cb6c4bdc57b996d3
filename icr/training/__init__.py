"""One training: its settings, its strategy over devices, and the callback that makes its pairs."""

from icr.training.fit import TrainerSettings, Training
from icr.training.precision import PRECISIONS
from icr.training.strategies import DDP, FSDP2, DeepSpeed, Sharding, Strategy

__all__ = [
    "DDP",
    "FSDP2",
    "PRECISIONS",
    "DeepSpeed",
    "Sharding",
    "Strategy",
    "TrainerSettings",
    "Training",
]
