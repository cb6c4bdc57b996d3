"""Which pairs make up which micro-batch of which optimiser step: a deterministic plan of the whole training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, islice

import numpy as np
from torch.utils.data import Sampler


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Items of a micro-batch, those of its whole optimiser step, and whether it is the step's first."""

    items: list[int]
    step: list[int]
    first: bool


@dataclass(frozen=True)
class StepPlan:
    """Shuffled passes over `size` items, one after the other, cut into steps and micro-batches.

    A step may take the end of one pass and the beginning of the next: all steps but the very last are full, because
    Lightning counts micro-batches to know where a step ends.

    Attributes:
        size: items in the data set, at least 1.
        global_batch_size: items of an optimiser step; the last step of all may have fewer.
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

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("there is nothing to plan a training on")

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.max_steps or math.ceil(self.epochs * self.size / self.global_batch_size)

    @property
    def micro_batches_per_step(self) -> int:
        """Gradient accumulation of a full step."""
        return math.ceil(self.global_batch_size / self.micro_batch_size)

    def micro_batches(self) -> list[MicroBatch]:
        """All micro-batches of all steps, in order."""
        plan = []
        for step in self._step_items():
            cuts = range(0, len(step), self.micro_batch_size)
            plan += [MicroBatch(step[cut : cut + self.micro_batch_size], step, cut == 0) for cut in cuts]
        return plan

    def _step_items(self) -> Iterator[list[int]]:
        total = self.steps * self.global_batch_size if self.max_steps else self.epochs * self.size
        items = islice(chain.from_iterable(map(self._order, count())), total)
        return (list(islice(items, self.global_batch_size)) for _ in range(self.steps))

    def _order(self, epoch: int) -> list[int]:
        entropy = [int.from_bytes(repr((*self.seed, epoch)).encode(), "little")]
        return np.random.default_rng(entropy).permutation(self.size).tolist()


class FromPlace(Sampler):
    """Indices `start … total − 1`, with the length of the whole, as Lightning's bookkeeping expects on resuming."""

    def __init__(self, total: int, start: int):
        self.total, self.start = total, start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.total))

    def __len__(self) -> int:
        return self.total
