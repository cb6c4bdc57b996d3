"""Log-probs of many sequences, without gradient, in length-sorted batches of a token budget."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from icr.logps.attention import shares_prompts
from icr.logps.engine import token_logps
from icr.logps.layout import MAX_ROW, IdPair, TokenLayout, lay_out, row_width, rows_by_prompt
from icr.logps.ways import settle

log = logging.getLogger(__name__)


class NonFiniteLogpError(ValueError):
    """A log-prob is NaN or infinite. `index` is the place of its sequence among those given to `score`."""

    def __init__(self, index: int):
        super().__init__(f"the log-probs of sequence {index} are not finite")
        self.index = index


@torch.inference_mode()
def score(
    model: PreTrainedModel,
    sequences: Sequence[IdPair],
    *,
    tokens_per_batch: int,
    on_batch: Callable[[int], object] = lambda done: None,
    all_ranks: bool = False,
) -> list[np.ndarray]:
    """Log-prob of each response token of each `(prompt_ids, response_ids)` sequence.

    The value of a sequence does not depend on the others: responses to one prompt share its pass and see nothing of
    each other, and padding is never seen. Equal sequences are scored once, so that they cannot differ in the last bit,
    and a response that is the beginning of another one to the same prompt has that one's values.
    When the device runs out of memory the budget is halved and the rest goes on.

    Args:
        model: used in evaluation mode, and left in the mode that it was in.
        tokens_per_batch: rows times longest row of one forward pass; a longer single sequence is a batch of its own.
        on_batch: called with the number of sequences that each batch has finished (for progress bars).
        all_ranks: whether all ranks call this at one time, each with its share, be it empty. They then agree how the
            model is run.

    Returns:
        One float32 array per sequence, of its response's length, in the order given.

    Raises:
        NonFiniteLogpError: a log-prob is NaN or infinite.
        ModelError: the model's log-probs cannot be had.
    """
    if all_ranks:
        settle(model)
    held = _held(sequences)
    results: dict[int, np.ndarray] = {}
    share = shares_prompts(model)
    halvings = 0
    was_training = model.training
    model.eval()
    try:
        while pending := [index for index in held if index not in results]:
            try:
                for batch in plan(pending, sequences, tokens_per_batch, halvings, share=share):
                    scored = _score_batch(model, sequences, batch)
                    _check_finite(model, sequences, scored)
                    for index, values in scored.items():
                        for part in held[index]:
                            results[part] = values[: len(sequences[part][1])]
                    on_batch(sum(len(held[index]) for index in scored))
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                if len(batch) == 1 and len(batch[0]) == 1:
                    raise
                halvings += 1
                log.warning("out of memory: the token budget of scoring is halved to %d", tokens_per_batch >> halvings)
    finally:
        model.train(was_training)
    return [results[index] for index in range(len(sequences))]


def plan(
    pending: Sequence[int], sequences: Sequence[IdPair], tokens_per_batch: int, halvings: int = 0, *, share: bool
) -> Iterator[list[list[int]]]:
    """Cut indices into batches of rows whose padded size stays within the budget, the widest rows first.

    Args:
        halvings: how often the budget has been halved.
        share: whether the sequences of a prompt lie in one row (`rows_by_prompt`) or each in a row of its own.
    """
    budget = tokens_per_batch >> halvings
    rows = [[index] for index in pending]
    if share:
        rows = rows_by_prompt(sequences, pending, min(MAX_ROW, budget), halvings)
    batch: list[list[int]] = []
    for row in sorted(rows, key=lambda row: (-row_width(sequences, row), row)):
        if batch and (len(batch) + 1) * row_width(sequences, batch[0]) > budget:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def lay_out_batch(sequences: Sequence[IdPair], rows: Sequence[Sequence[int]]) -> tuple[list[int], TokenLayout]:
    """One batch of `plan`: indices of its sequences, in the order of their targets, and their layout."""
    indices = [index for row in rows for index in row]
    places = {index: place for place, index in enumerate(indices)}
    return indices, lay_out([sequences[i] for i in indices], [[places[i] for i in row] for row in rows])


def _check_finite(model: PreTrainedModel, sequences: Sequence[IdPair], scored: Mapping[int, np.ndarray]) -> None:
    bad = [index for index, values in scored.items() if not np.isfinite(values).all()]
    if not bad:
        return
    # A masked NaN is still a NaN to those that share its row, so only sequences by themselves tell which has it.
    alone = {index: _score_batch(model, sequences, [[index]])[index] for index in bad}
    raise NonFiniteLogpError(next((index for index in bad if not np.isfinite(alone[index]).all()), bad[0]))


def _held(sequences: Sequence[IdPair]) -> dict[int, list[int]]:
    """Indices of the sequences that are to be scored, each with those whose values are among its own.

    These are itself, its copies, and all that it begins with: in descending order each comes right behind them.
    """
    plain = {index: (list(prompt), list(response)) for index, (prompt, response) in enumerate(sequences)}
    held: dict[int, list[int]] = {}
    longer = -1
    for index in sorted(plain, key=plain.__getitem__, reverse=True):
        prompt, response = plain[index]
        if not held or plain[longer][0] != prompt or plain[longer][1][: len(response)] != response:
            longer = index
        held.setdefault(longer, []).append(index)
    return dict(sorted(held.items()))


def _score_batch(
    model: PreTrainedModel, sequences: Sequence[IdPair], rows: Sequence[Sequence[int]]
) -> dict[int, np.ndarray]:
    """Token log-probs by index of the sequences in `rows`."""
    indices, layout = lay_out_batch(sequences, rows)
    values = token_logps(model, layout.to(model.device)).cpu()
    return dict(zip(indices, (part.numpy() for part in values.split(layout.lengths.tolist())), strict=True))
