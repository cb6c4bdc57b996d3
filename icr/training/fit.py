"""One training: from a model folder to a model folder, through Lightning."""

from __future__ import annotations

import logging
import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from torch.optim import Optimizer

from icr import distributed
from icr.checks import require_counts, require_number
from icr.data.datamodule import CrossLingualPairDataModule
from icr.errors import RunError
from icr.logps import require_calm_training
from icr.losses import Objective
from icr.models.finite import not_finite
from icr.models.loading import LoadedModel
from icr.models.memory import checkpoint_activations
from icr.modules.preference import PreferenceModule
from icr.modules.schedule import Schedule
from icr.rundir import RunDirectory
from icr.rundir.fingerprint import Json
from icr.rundir.layout import round_folder, round_stages
from icr.training.checkpoint_files import StreamedCheckpoints
from icr.training.likelihood_displacement import LikelihoodDisplacement
from icr.training.precision import Precision
from icr.training.progress_lines import TrainingProgressLines
from icr.training.regenerate_pairs import PairCallback
from icr.training.strategies import Strategy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainerSettings:
    """How Lightning trains. Config group `trainer`; the keys are documented in `conf/trainer/default.yaml`."""

    global_batch_size: int = 32
    epochs: int = 1
    max_steps: int | None = None
    gradient_clip: float = 1.0
    precision: Precision = "32-true"
    micro_batch_size: int = field(default=1, compare=False)
    accelerator: str = field(default="auto", compare=False)
    devices: int | str = field(default=1, compare=False)
    num_nodes: int = field(default=1, compare=False)
    checkpoint_every: int = field(default=100, compare=False)
    threads: int | None = field(default=None, compare=False)
    gradient_checkpointing: bool = field(default=False, compare=False)
    progress_bar: bool = field(default=True, compare=False)

    def __post_init__(self) -> None:
        require_counts(self, "global_batch_size", "micro_batch_size", "epochs", "checkpoint_every", "num_nodes")
        if self.max_steps is not None:
            require_counts(self, "max_steps", otherwise="or null")
        if self.threads is not None:
            require_counts(self, "threads", otherwise="or null")
        require_number("gradient_clip", self.gradient_clip, least=0, otherwise="(0 is off)")

    @property
    def alone(self) -> int | str:
        """Devices of a run of one process, as Lightning takes them: on a CPU it knows no -1."""
        return "auto" if str(self.devices) == "-1" else self.devices


@dataclass(frozen=True)
class Training:
    """What stays the same in every round: objective, optimiser, schedule, trainer settings and strategy."""

    objective: Objective
    optimizer: Callable[[Iterable[torch.nn.Parameter]], Optimizer]
    schedule: Schedule
    settings: TrainerSettings
    strategy: Strategy

    def run(
        self,
        store: RunDirectory,
        round: int,
        load: Callable[[], LoadedModel],
        pairs: Callable[[LoadedModel], PairCallback],
        loggers: Sequence[Logger],
    ) -> Path:
        """Train, unless it is done, and return the folder of the round's model.

        A training that was cut short goes on from its last checkpoint, with the optimiser and the batch that it had.

        Args:
            round: number of the round.
            load: loads the model to start from.
            pairs: makes the callback that provides the pairs.
            loggers: Lightning loggers.
        """
        stages = round_stages(round)
        if store.complete(stages.model) and store.incomplete(stages.data):
            # Made again first: only then is it known whether the model that was trained on them stands.
            pairs(self._start(round, load)).prepare(self._data(), self.objective)
        folder = store.folder(stages.model, lambda: self._fit(store, round, load, pairs, loggers))
        store.remove(store.layout.round(round).checkpoints)
        return folder

    def _fit(
        self,
        store: RunDirectory,
        round: int,
        load: Callable[[], LoadedModel],
        pairs: Callable[[LoadedModel], PairCallback],
        loggers: Sequence[Logger],
    ) -> LoadedModel:
        name = round_folder(round)
        start, datamodule = self._start(round, load), self._data()
        module = PreferenceModule(start.model, self.objective, self.optimizer, self.schedule, shard=self.strategy.shard)
        # What all ranks have written a part of is read by as many.
        sharded = self.strategy.sharding(distributed.size()).states > 1
        checkpoints = store.layout.round(round).checkpoints
        made_by: dict[str, Json] = {"processes that share a checkpoint": distributed.size() if sharded else 1}
        store.work_folder(round_stages(round).model, checkpoints, made_by)
        callbacks = [pairs(start), LikelihoodDisplacement(), *self._callbacks(name, checkpoints)]
        trainer = self._trainer(start.model.device.type, datamodule.accumulate, callbacks, loggers)
        try:
            last = distributed.on_rank0(lambda: _last_checkpoint(checkpoints))
            trainer.fit(module, datamodule=datamodule, ckpt_path=last, weights_only=True)
        except SystemExit:
            # What Lightning makes of Ctrl-C.
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise
        trained = self.strategy.whole(start, load)
        self.strategy.arithmetic(self.settings.precision).prepare(trained.model)
        if distributed.rank() == 0:
            _check_weights(trained, f"{name}: the training went astray; lower optim.lr")
        trained.model.eval()
        return trained

    def _start(self, round: int, load: Callable[[], LoadedModel]) -> LoadedModel:
        start = load()
        _check_weights(start, f"{round_folder(round)}: the weights of {start.path} cannot be trained")
        with self.strategy.arithmetic(self.settings.precision).scoring(start.model.device):
            require_calm_training(start.model)
        if self.settings.gradient_checkpointing:
            checkpoint_activations(start.model)
        start.model.train()
        return start

    def _data(self) -> CrossLingualPairDataModule:
        return CrossLingualPairDataModule(
            global_batch_size=self.settings.global_batch_size,
            micro_batch_size=self.settings.micro_batch_size,
            epochs=self.settings.epochs,
            max_steps=self.settings.max_steps,
        )

    def _trainer(self, device: str, accumulate: int, callbacks: list[Callback], loggers: Sequence[Logger]) -> Trainer:
        settings = self.settings
        return Trainer(
            accelerator=settings.accelerator,
            devices=distributed.size() // settings.num_nodes if distributed.size() > 1 else settings.alone,
            num_nodes=settings.num_nodes,
            strategy=self.strategy.lightning(),
            use_distributed_sampler=False,
            plugins=[self.strategy.plugin(settings.precision, device), StreamedCheckpoints()],
            max_epochs=1,
            accumulate_grad_batches=accumulate,
            gradient_clip_val=settings.gradient_clip or None,
            logger=list(loggers),
            log_every_n_steps=1,
            callbacks=callbacks,
            enable_progress_bar=self._shows_progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )

    def _callbacks(self, name: str, checkpoints: Path) -> list[Callback]:
        callbacks: list[Callback] = [
            ModelCheckpoint(
                checkpoints,
                filename="{step}",
                every_n_train_steps=self.settings.checkpoint_every,
                save_on_train_epoch_end=False,
                enable_version_counter=False,
            )
        ]
        if self._shows_progress:
            callbacks.append(TQDMProgressBar(leave=False))
        elif not sys.stderr.isatty():
            callbacks.append(TrainingProgressLines(name))
        return callbacks

    @property
    def _shows_progress(self) -> bool:
        return self.settings.progress_bar and sys.stderr.isatty()


def _last_checkpoint(folder: Path) -> Path | None:
    # Lightning copies a checkpoint into place, then removes the one before: a kill can leave a torn file beside a whole
    # one.
    found = sorted(filter(_is_whole, folder.glob("*.ckpt")), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def _is_whole(checkpoint: Path) -> bool:
    # Of a folder that all ranks write, rank 0 writes this file last: FSDP2's own progress, or DeepSpeed's name of it.
    return zipfile.is_zipfile(checkpoint / "meta.pt" if checkpoint.is_dir() else checkpoint) or (
        (checkpoint / "latest").is_file()
    )


def _check_weights(loaded: LoadedModel, problem: str) -> None:
    if broken := not_finite(loaded.model):
        raise RunError(f"{problem}: {broken[0]} holds NaN or infinity.")
