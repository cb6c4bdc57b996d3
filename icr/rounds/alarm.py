"""An alarm for the best-known failure of preference training: chosen responses that become less likely."""

from __future__ import annotations

import logging

from lightning.pytorch import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


class LikelihoodAlarm(Callback):
    """Warns at the end of a round whose chosen responses were less likely than under the reference in its last quarter.

    `rewards/chosen` is `β·log(π/π_ref)` of the chosen responses: below 0, the loss was lowered by making the rejected
    ones even less likely, and output that degenerates often follows.
    """

    def __init__(self) -> None:
        self.chosen: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args) -> None:
        """Note the step's figure."""
        if "rewards/chosen" in trainer.callback_metrics:
            self.chosen.append(float(trainer.callback_metrics["rewards/chosen"]))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare, and say so."""
        last = self.chosen[-max(1, len(self.chosen) // 4) :]
        if last and sum(last) < 0:
            log.warning(
                "chosen responses became less likely than under the reference (rewards/chosen %.3g in the last "
                "quarter): raise loss.alpha, lower optim.lr, or train for fewer steps",
                sum(last) / len(last),
            )
