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
    """Items of a micro-batch, those of its whole optimiser step, and whether it is the step's first on its rank.

    It is empty where the other ranks have more of a short step: all ranks have equally many micro-batches.
    """

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
        ranks: processes that share each step; which items make up a step does not depend on it.
    """

    size: int
    global_batch_size: int
    micro_batch_size: int
    epochs: int = 1
    max_steps: int | None = None
    seed: tuple[object, ...] = ()
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("there is nothing to plan a training on")

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.max_steps or math.ceil(self.epochs * self.size / self.global_batch_size)

    @property
    def micro_batches_per_step(self) -> int:
        """Gradient accumulation of a full step: micro-batches of each rank."""
        return self._rounds(self.global_batch_size)

    def micro_batches(self, rank: int = 0) -> list[MicroBatch]:
        """All micro-batches of one rank, of all steps, in order."""
        plan = []
        for step in self._step_items():
            mine = step[len(step) * rank // self.ranks : len(step) * (rank + 1) // self.ranks]
            cuts = range(0, self._rounds(len(step)) * self.micro_batch_size, self.micro_batch_size)
            plan += [MicroBatch(mine[cut : cut + self.micro_batch_size], step, cut == 0) for cut in cuts]
        return plan

    def _rounds(self, items: int) -> int:
        """Micro-batches of the rank with most of a step's items."""
        return math.ceil(math.ceil(items / self.ranks) / self.micro_batch_size)

    def _step_items(self) -> Iterator[list[int]]:
        total = self.steps * self.global_batch_size if self.max_steps else self.epochs * self.size
        items = islice(chain.from_iterable(map(self._order, count())), total)
        return (list(islice(items, self.global_batch_size)) for _ in range(self.steps))

    def _order(self, epoch: int) -> list[int]:
        entropy = [int.from_bytes(repr((*self.seed, epoch)).encode(), "little")]
        order: list[int] = np.random.default_rng(entropy).permutation(self.size).tolist()
        return order


class FromPlace(Sampler[int]):
    """Indices `start … total − 1`, with the length of the whole, as Lightning's bookkeeping expects on resuming."""

    def __init__(self, total: int, start: int):
        self.total, self.start = total, start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.total))

    def __len__(self) -> int:
        return self.total
