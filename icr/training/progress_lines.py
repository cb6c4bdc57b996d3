"""Progress of a training in the log, where there is no terminal for a bar."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from icr.metrics import Metric
from icr.progress import ProgressLines


class TrainingProgressLines(Callback):
    """Logs optimiser steps, the last step's loss and the time left, one line per `icr.progress.INTERVAL`.

    Attributes:
        name: of the training, such as `round_0`.
    """

    def __init__(self, name: str):
        self.name = name

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, at the step that a checkpoint has brought."""
        steps = int(trainer.estimated_stepping_batches)
        self.lines = ProgressLines(steps, f"{self.name} · training", items="steps", done=trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Say where the training is, if it is time."""
        loss = trainer.callback_metrics.get(Metric.LOSS)
        self.lines.at(trainer.global_step, "" if loss is None else f"loss {float(loss):.4g}")
