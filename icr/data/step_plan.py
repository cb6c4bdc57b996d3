"""Which pairs make up which micro-batch of which optimiser step: a deterministic plan of the whole training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler


@dataclass(frozen=True)
class StepPlan:
    """Shuffled passes over `size` items, cut into steps and micro-batches.

    Attributes:
        size: items in the data set.
        global_batch_size: items of an optimiser step; the last step of a pass may have fewer.
        micro_batch_size: items of one forward and backward pass.
        epochs: passes over the data, unless `max_steps` is given.
        max_steps: optimiser steps in all, over as many passes as that takes.
        seed: anything printable; sets the order.
    """

    size: int
    global_batch_size: int
    micro_batch_size: int
    epochs: int = 1
    max_steps: int | None = None
    seed: tuple = ()

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.max_steps or self.epochs * self._steps_per_epoch

    @property
    def micro_batches_per_step(self) -> int:
        """Gradient accumulation of a full step."""
        return math.ceil(self.global_batch_size / self.micro_batch_size)

    def micro_batches(self) -> list[tuple[list[int], list[int]]]:
        """`(items of the micro-batch, items of its whole step)`, in order."""
        plan = []
        for step in self._step_items():
            cuts = range(0, len(step), self.micro_batch_size)
            plan += [(step[cut : cut + self.micro_batch_size], step) for cut in cuts]
        return plan

    @property
    def _steps_per_epoch(self) -> int:
        return math.ceil(self.size / self.global_batch_size)

    def _step_items(self) -> Iterator[list[int]]:
        for step in range(self.steps):
            epoch, place = divmod(step, self._steps_per_epoch)
            if place == 0:
                entropy = [int.from_bytes(repr((*self.seed, epoch)).encode(), "little")]
                order = np.random.default_rng(entropy).permutation(self.size).tolist()
            yield order[place * self.global_batch_size : (place + 1) * self.global_batch_size]


class FromPlace(Sampler):
    """Indices `start … total − 1`, with the length of the whole, as Lightning's progress bookkeeping expects on resuming."""

    def __init__(self, total: int, start: int):
        self.total, self.start = total, start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.total))

    def __len__(self) -> int:
        return self.total
