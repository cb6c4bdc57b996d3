"""The processes of a run, seen from one of them: who it is, its share of the work, and what all of them know.

Everything here also works in a run of one process, where it does nothing. Objects travel through gloo, also where
tensors travel through NCCL (`icr.launch.processes` sets both up).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
import torch.distributed as dist

T = TypeVar("T")


def size() -> int:
    """Processes of the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0. Rank 0 writes and reports; the others only compute."""
    return dist.get_rank() if dist.is_initialized() else 0


def shard(items: Sequence[T], together: int = 1) -> Sequence[T]:
    """This rank's part of `items`: the parts of all ranks, one after the other, are `items` again.

    Args:
        together: `items` are cut at multiples of this only, such as the responses to one prompt.
    """
    groups = -(-len(items) // together)
    first, last = (groups * place // size() * together for place in (rank(), rank() + 1))
    return items[first:last]


def gather_to_rank0(rows: Sequence[T]) -> list[T]:
    """The rows of all ranks, one rank after the other, on rank 0; nothing on the others."""
    if size() == 1:
        return list(rows)
    parts: list[Sequence[T]] | None = [()] * size() if rank() == 0 else None
    dist.gather_object(list(rows), parts)
    return [row for part in parts or [] for row in part]


def all_gather(value: T) -> list[T]:
    """`value` of each rank, in order, on all ranks."""
    if size() == 1:
        return [value]
    values = [value] * size()
    dist.all_gather_object(values, value)
    return values


def on_rank0(find: Callable[[], T]) -> T:
    """What rank 0 finds, on all ranks; `find` is called there alone. No rank goes on before it is found."""
    if size() == 1:
        return find()
    found = [find() if rank() == 0 else None]
    dist.broadcast_object_list(found)
    return cast("T", found[0])


def all_reduce_sum(tensor: torch.Tensor) -> torch.Tensor:
    """Sum of a tensor over ranks, without gradient."""
    if size() == 1:
        return tensor
    summed = tensor.detach().clone()
    dist.all_reduce(summed)
    return summed
