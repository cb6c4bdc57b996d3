"""The pairs of a round, as batches."""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from icr import distributed
from icr.data.collate import Mismatched, PairBatch, collate, mismatch
from icr.data.step_plan import FromPlace, StepPlan
from icr.losses import Objective
from icr.types import PreferencePair, StepTotals


class CrossLingualPairDataModule(LightningDataModule):
    """Wraps cross-lingual preference pairs. `set_pairs` is called before each round's training.

    The whole training is one pass of Lightning's loop over `StepPlan`'s micro-batches, so that a run that resumes in
    the middle of it goes on with the very batch that it would have had.
    """

    def __init__(self, *, global_batch_size: int, micro_batch_size: int, epochs: int = 1, max_steps: int | None = None):
        super().__init__()
        self.global_batch_size = global_batch_size
        """Pairs per optimiser step, over all processes."""
        self.micro_batch_size = min(micro_batch_size, global_batch_size)
        """Pairs per forward and backward pass of one process."""
        self.epochs = epochs
        """Passes over the pairs of a round."""
        self.max_steps = max_steps
        """Optimiser steps per round; takes the place of `epochs`."""
        self.micro_batches: PairMicroBatches | None = None
        self.plan: StepPlan | None = None

    def set_pairs(self, pairs: Sequence[PreferencePair], objective: Objective, seed: tuple[object, ...]) -> None:
        """Plan the training on `pairs` with what `objective` needs of them; `seed` sets the order."""
        sizes = (self.global_batch_size, self.micro_batch_size, self.epochs, self.max_steps)
        self.plan = StepPlan(len(pairs), *sizes, seed=seed, ranks=distributed.size())
        self.micro_batches = PairMicroBatches(pairs, self.plan, objective)

    def one_pass(
        self, pairs: Sequence[PreferencePair], objective: Objective, seed: tuple[object, ...]
    ) -> PairMicroBatches:
        """This process's micro-batches of a training that sees each pair once, whatever epochs and steps are asked for.

        They are those of the training's own first pass.
        """
        sizes = (self.global_batch_size, self.micro_batch_size)
        plan = StepPlan(len(pairs), *sizes, seed=seed, ranks=distributed.size())
        return PairMicroBatches(pairs, plan, objective)

    @property
    def steps(self) -> int | None:
        """Optimiser steps of the round, once its pairs are there."""
        return self.plan.steps if self.plan else None

    @property
    def accumulate(self) -> int:
        """Micro-batches of each process per full optimiser step."""
        mine = -(-self.global_batch_size // distributed.size())
        return -(-mine // self.micro_batch_size)

    def micro_batches_before(self, step: int) -> int:
        """Micro-batches of each process in the first `step` optimiser steps: all but the very last are full."""
        return min(step * self.accumulate, len(self._planned()))

    def train_dataloader(self) -> DataLoader[PairBatch]:
        """Micro-batches from where Lightning's restored progress stands.

        Raises:
            RuntimeError: there is no trainer, or there are no pairs yet.
        """
        if self.trainer is None:
            raise RuntimeError("the data module has no trainer yet")
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        done = progress.current.processed  # type: ignore[attr-defined]
        planned = self._planned()
        return DataLoader(planned, batch_size=None, sampler=FromPlace(len(planned), done))

    def _planned(self) -> PairMicroBatches:
        if self.micro_batches is None:
            raise RuntimeError("set_pairs comes before the training")
        return self.micro_batches


class PairMicroBatches(Dataset[PairBatch]):
    """Micro-batch `i` of this process's plan, collated when asked for."""

    def __init__(self, pairs: Sequence[PreferencePair], plan: StepPlan, objective: Objective):
        self.pairs, self.objective = pairs, objective
        self.plan = plan.micro_batches(distributed.rank())
        self.sequences_per_pass = 2 * plan.micro_batch_size
        self.partners = {pair.key: pair for pair in pairs} if objective.needs_partner else None

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> PairBatch:
        micro_batch = self.plan[index]
        step = [self.pairs[i] for i in micro_batch.step]
        return collate(
            [self.pairs[i] for i in micro_batch.items],
            StepTotals(pairs=len(step), chosen_tokens=sum(len(pair.chosen_ids) for pair in step)),
            rejected=self.objective.needs_rejected,
            reference=self.objective.needs_reference,
            mismatched=self._mismatched(step) if micro_batch.first else None,
            stand_in=step[0],
        )

    def _mismatched(self, step: Sequence[PreferencePair]) -> Mismatched | None:
        if self.partners is None:
            return None
        rows = [pair for pair in step if pair.partner]
        return mismatch(
            rows,
            self.partners,
            sequences_per_pass=self.sequences_per_pass,
            rank=distributed.rank(),
            ranks=distributed.size(),
        )
