"""An alarm for the best-known failure of preference training: chosen responses that become less likely."""

from __future__ import annotations

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from icr.metrics import Metric

log = logging.getLogger(__name__)

FALL = -1.0
"""Nats by which a chosen response may become less likely before it is said."""


class LikelihoodDisplacement(Callback):
    """Warns at the end of a round in whose last quarter chosen responses were less likely than under the reference.

    `logps/chosen_ratio` is `log(π/π_ref)` of the chosen responses: far below 0, the loss was lowered by making the
    rejected ones even less likely, and output that degenerates often follows. An objective without a reference logs no
    such figure, and there is no warning.
    """

    def __init__(self) -> None:
        self.log_ratios: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Note the step's mean log-ratio."""
        if Metric.LOGPS_CHOSEN_RATIO in trainer.callback_metrics:
            self.log_ratios.append(float(trainer.callback_metrics[Metric.LOGPS_CHOSEN_RATIO]))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare, and say so."""
        last = self.log_ratios[-max(1, len(self.log_ratios) // 4) :]
        if last and sum(last) / len(last) < FALL:
            log.warning(
                "chosen responses became less likely than under the reference, by %.1f nats in the last quarter of the "
                "round: raise loss.alpha, lower optim.lr, or train for fewer steps",
                -sum(last) / len(last),
            )
