"""Preference training: a policy and an objective, with no sampling and no scoring."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch.distributed.device_mesh import DeviceMesh
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from icr import distributed
from icr.data import CrossLingualPairDataModule
from icr.data.collate import Mismatched, PairBatch
from icr.errors import RunError
from icr.logps import quick_products, settle
from icr.losses import Objective
from icr.metrics import Metric
from icr.modules.pair_logps import pair_logps, partner_logps
from icr.modules.schedule import Schedule
from icr.modules.token_logps import TokenLogps
from icr.types import LossOutput, PolicyLogps, ReferenceLogps


class PreferenceModule(LightningModule):
    """Trains `policy` on `PairBatch`es with `objective` (DPO, IPO, KTO or NLL).

    The loss of an optimiser step is the objective over all its pairs, however they are cut into micro-batches; what is
    logged is the mean over the step, and the same per language, by the names of `icr.metrics`. Both are over all
    processes.
    """

    def __init__(
        self,
        policy: PreTrainedModel,
        objective: Objective,
        optimizer: Callable[[Iterable[torch.nn.Parameter]], Optimizer],
        schedule: Schedule,
        shard: Callable[[TokenLogps, DeviceMesh], None] | None = None,
    ):
        super().__init__()
        self.logps = TokenLogps(policy)
        self.objective = objective
        self.optimizer = optimizer
        self.schedule = schedule
        self.strict_loading = False  # Checkpoints hold what is trained, not the gigabytes that stay as they are.
        self._step_metrics: dict[str, list[torch.Tensor]] = defaultdict(list)
        self._partners: dict[str, dict[str, torch.Tensor]] = {"policy": {}, "reference": {}}
        self._shard = shard

    @property
    def policy(self) -> PreTrainedModel:
        """The model in training."""
        return self.logps.policy

    def configure_model(self) -> None:
        """Find out how the policy is run, on all ranks and while it is whole; then spread its weights over the devices,
        under a strategy that does.

        Raises:
            ModelError: its log-probs cannot be had.
        """
        with self.trainer.precision_plugin.forward_context():
            settle(self.policy)
        if self._shard and self.device_mesh:
            self._shard(self.logps, self.device_mesh["data_parallel"])
        self._kept = dict(self.named_buffers())

    def on_fit_start(self) -> None:
        """Put back the buffers that a strategy has rounded, such as the frequencies of positions, kept in float32."""
        for name, now in list(self.named_buffers()):
            kept = self._kept[name]
            if kept.dtype != now.dtype:
                module, _, own = name.rpartition(".")
                setattr(self.get_submodule(module), own, kept.to(now.device))

    def training_step(self, batch: PairBatch, batch_idx: int) -> torch.Tensor:
        """This micro-batch's share of the step's loss, scaled to outlast Lightning's division by the accumulation, and
        the strategy's by the number of processes.
        """
        policy, reference = pair_logps(self.logps, batch), batch.reference
        if self.objective.needs_partner:
            # The weights do not change within a step, so its first micro-batch evaluates the partners for all of them.
            if batch.mismatched is not None:
                self._partners = self._partner_logps(batch.mismatched)
            policy = replace(policy, **self._partners["policy"])
            if reference is not None:
                reference = replace(reference, **self._partners["reference"])
        output = self.objective(policy, reference, batch.totals, all_reduce=distributed.all_reduce_sum)
        self._check_finite(output, batch)
        self._collect(output, policy, reference, batch)
        return output.loss * self.trainer.accumulate_grad_batches * distributed.size()

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """The backward pass, its products made as the forward pass makes them."""
        with quick_products(self.policy):
            super().backward(loss, *args, **kwargs)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the step's means, to the loggers themselves: Lightning would repeat what this step has no value for."""
        metrics = self._step_means()
        metrics[Metric.LR] = optimizer.param_groups[0]["lr"]
        for logger in self.loggers:
            logger.log_metrics(metrics, step=self.global_step)
        for name, value in metrics.items():
            self.log(name, value, prog_bar=name in (Metric.LOSS, Metric.REWARDS_ACCURACIES), logger=False)
        self._step_metrics.clear()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """A fresh optimiser over the trainable parameters; the schedule reads the round's length when it is known."""
        optimizer = self.optimizer([p for p in self.policy.parameters() if p.requires_grad])
        scheduler = LambdaLR(optimizer, lambda step: self.schedule.factor(step, self.data.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the weights that are not trained: a resumed training starts from the same ones.

        Not where weights are spread over devices: Lightning then reads back every weight that the module has.
        """
        weights = checkpoint.get("state_dict")  # Some strategies write them by themselves.
        if weights and not self.device_mesh:
            kept = self._trained()
            checkpoint["state_dict"] = {name: values for name, values in weights.items() if name in kept}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of other weights, and count its progress in this run's micro-batches.

        Checkpoints are saved between optimiser steps, and which pairs make up a step depends neither on the number of
        processes nor on the size of micro-batches: a training goes on in as many as there are now.

        Raises:
            RunError: it has not what is trained here.
        """
        weights = checkpoint.get("state_dict")
        if weights and (missing := self._trained() - weights.keys()):
            raise RunError(f"The checkpoint of this training lacks {min(missing)}: delete it, or give another run.dir.")
        if "loops" in checkpoint:  # Not in one of the weights alone.
            counts = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
            done = self.data.micro_batches_before(checkpoint["global_step"])
            counts |= {name: count + done - counts["processed"] for name, count in counts.items()}

    @property
    def data(self) -> CrossLingualPairDataModule:
        """The data module of the trainer."""
        data: CrossLingualPairDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def _trained(self) -> set[str]:
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}

    def _partner_logps(self, mismatched: Mismatched) -> dict[str, dict[str, torch.Tensor]]:
        sides = {"policy": partner_logps(self.logps, mismatched), "reference": mismatched.reference.tensor_split(2)}
        return {
            side: {"partner_chosen": chosen, "partner_rejected": rejected} for side, (chosen, rejected) in sides.items()
        }

    def _check_finite(self, output: LossOutput, batch: PairBatch) -> None:
        if torch.isfinite(output.loss):
            return
        finite = torch.isfinite(output.preference) & torch.isfinite(output.nll)
        names = [f"{batch.ids[i]} ({batch.languages[i]})" for i in (~finite).nonzero().flatten().tolist()]
        raise RunError(
            f"The loss is not finite at step {self.global_step}, for {', '.join(names) or 'the batch as a whole'}. The "
            f"weights or the reference log-probs hold NaN or overflow: lower optim.lr, or train in float32 or bfloat16."
        )

    def _collect(
        self, output: LossOutput, policy: PolicyLogps, reference: ReferenceLogps | None, batch: PairBatch
    ) -> None:
        values: dict[str, torch.Tensor] = {Metric.NLL: output.nll, Metric.LOGPS_CHOSEN: policy.chosen.detach()}
        if reference is not None:
            values[Metric.LOGPS_CHOSEN_RATIO] = policy.chosen.detach() - reference.chosen
        if self.objective.needs_rejected:
            margins = output.chosen_rewards - output.rejected_rewards
            values |= {
                Metric.PREFERENCE_LOSS: output.preference,
                Metric.REWARDS_CHOSEN: output.chosen_rewards,
                Metric.REWARDS_REJECTED: output.rejected_rewards,
                Metric.REWARDS_MARGINS: margins,
                Metric.REWARDS_ACCURACIES: (margins > 0).double(),
                Metric.LOGPS_REJECTED: policy.rejected.detach(),
            }
        self._step_metrics[Metric.LOSS].append(output.loss.detach().reshape(1))
        for name, scalar in output.metrics.items():
            self._step_metrics[name].append(scalar.detach().reshape(1))
        for name, value in values.items():
            self._step_metrics[name].append(value)
            for language in dict.fromkeys(batch.languages):
                rows = [i for i, code in enumerate(batch.languages) if code == language]
                self._step_metrics[f"{language}/{name}"].append(value[rows])

    def _step_means(self) -> dict[str, float]:
        """Mean of each figure over the step's pairs on all ranks; the loss is the sum of its shares."""
        joined = {name: torch.cat(parts).double() for name, parts in self._step_metrics.items()}
        ours = {name: (float(values.sum()), len(values)) for name, values in joined.items()}
        totals: dict[str, tuple[float, int]] = {}
        for rank in distributed.all_gather(ours):
            for name, (total, count) in rank.items():
                before = totals.get(name, (0.0, 0))
                totals[name] = before[0] + total, before[1] + count
        return {
            name: total if name == Metric.LOSS else total / max(1, count) for name, (total, count) in totals.items()
        }
