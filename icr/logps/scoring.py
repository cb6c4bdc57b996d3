"""Log-probs of many sequences, without gradient, in length-sorted batches of a token budget."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from icr.logps.engine import token_logps
from icr.logps.layout import lay_out

log = logging.getLogger(__name__)


class NonFiniteLogpError(ValueError):
    """A log-prob is NaN or infinite. `index` is the place of its sequence among those given to `score`."""

    def __init__(self, index: int):
        super().__init__(f"the log-probs of sequence {index} are not finite")
        self.index = index


@torch.inference_mode()
def score(
    model: PreTrainedModel,
    sequences: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    tokens_per_batch: int,
    on_batch: Callable[[int], object] = lambda done: None,
) -> list[np.ndarray]:
    """Log-prob of each response token of each `(prompt_ids, response_ids)` sequence.

    The value of a sequence does not depend on the others: rows are independent and padding is never seen. Equal
    sequences are scored once, so that they cannot differ in the last bit. When the device runs out of memory the budget
    is halved and the rest goes on.

    Args:
        model: used in evaluation mode, and left in the mode that it was in.
        tokens_per_batch: rows times longest row of one forward pass; a longer single sequence is a batch of its own.
        on_batch: called with the number of sequences that each batch has finished (for progress bars).

    Returns:
        One float32 array a sequence, of its response's length, in the order given.

    Raises:
        NonFiniteLogpError: a log-prob is NaN or infinite.
    """
    copies: dict[tuple, list[int]] = {}
    for index, (prompt, response) in enumerate(sequences):
        copies.setdefault((tuple(prompt), tuple(response)), []).append(index)
    same = {indices[0]: indices for indices in copies.values()}
    results: list[np.ndarray | None] = [None] * len(sequences)
    pending = sorted(same, key=lambda i: (-_size(sequences[i]), i))
    was_training = model.training
    model.eval()
    try:
        while pending:
            try:
                for batch in plan(pending, sequences, tokens_per_batch):
                    for index, values in zip(batch, _score_batch(model, [sequences[i] for i in batch]), strict=True):
                        if not np.isfinite(values).all():
                            raise NonFiniteLogpError(index)
                        for copy in same[index]:
                            results[copy] = values
                    on_batch(sum(len(same[index]) for index in batch))
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                if len(batch) == 1:
                    raise
                tokens_per_batch //= 2
                log.warning("out of memory: the token budget of scoring is halved to %d", tokens_per_batch)
            pending = [i for i in pending if results[i] is None]
    finally:
        model.train(was_training)
    return results


def plan(order: Sequence[int], sequences: Sequence, tokens_per_batch: int) -> Iterator[list[int]]:
    """Cut indices, longest first, into batches whose padded size stays within the budget."""
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * _size(sequences[batch[0]]) > tokens_per_batch:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _size(sequence: tuple[Sequence[int], Sequence[int]]) -> int:
    return len(sequence[0]) + len(sequence[1])


def _score_batch(model: PreTrainedModel, sequences: Sequence) -> list[np.ndarray]:
    layout = lay_out(sequences).to(model.device)
    values = token_logps(model, layout).cpu()
    return [part.numpy() for part in values.split(layout.lengths.tolist())]
