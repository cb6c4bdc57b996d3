"""How (prompt, response) sequences lie in the tensors of one forward pass.

Responses to one prompt share one pass over it: they lie behind it in one row, each with positions that go on from the
prompt's, and each sees the prompt and itself alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import Any

import torch

IdPair = tuple[Sequence[int], Sequence[int]]
"""Token ids of a prompt and of a response to it."""

MAX_ROW = 4096
"""Widest row of shared prompts, in tokens, unless the prompt is long: a mask has the square of that many elements."""


@dataclass(slots=True)
class TokenLayout:
    """`S` sequences in `R` rows of `L` tokens, with their `T` response tokens as targets.

    Attributes:
        input_ids: right-padded rows: a prompt, then the responses to it. Shape `[R, L]`, int64.
        positions: place of each token in its own sequence. Shape `[R, L]`.
        segments: 0 for the prompt, `j` for the row's `j`-th response, −1 for padding. Shape `[R, L]`.
        rows, columns: where the hidden state that predicts each target lies. Shape `[T]`.
        targets: the response tokens, sequences one after the other in the order given. Shape `[T]`.
        lengths: response tokens of each sequence. Shape `[S]`, sums to `T`.
        shared: whether a row holds more than one response, so that plain causal attention would be wrong.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor
    shared: bool

    def visible(self, window: int | None = None) -> torch.Tensor:
        """Which token (last dimension) each token sees. Shape `[R, 1, L, L]`, bool.

        Args:
            window: tokens that a sliding-window layer sees, the token itself included; None for all.
        """
        place = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
        causal = place[None, :, None] >= place[None, None, :]
        own = self.segments[:, :, None] == self.segments[:, None, :]
        mask = causal & (own | (self.segments == 0)[:, None, :])
        if window is not None:
            mask &= self.positions[:, :, None] - self.positions[:, None, :] < window
        return mask[:, None]

    def apart(self) -> TokenLayout:
        """The same sequences, each in a row of its own."""
        rows = self.rows[self.lengths.cumsum(0) - 1].tolist()
        prompts = [self.input_ids[row][self.segments[row] == 0].tolist() for row in rows]
        responses = [part.tolist() for part in self.targets.split(self.lengths.tolist())]
        return lay_out(list(zip(prompts, responses, strict=True))).to(self.input_ids.device)

    def to(self, device: torch.device) -> TokenLayout:
        """The same layout on `device`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors: dict[str, Any] = {name: x.to(device) for name, x in values.items() if torch.is_tensor(x)}
        return replace(self, **tensors)


def rows_by_prompt(
    sequences: Sequence[IdPair], indices: Iterable[int], budget: int, halvings: int = 0
) -> list[list[int]]:
    """Which of the sequences lie in one row: as many of a prompt as fit, at least one.

    A row takes up to `budget` tokens. One of a prompt that leaves no room in it takes up to twice the prompt (the
    second of the two halved `halvings` times), so that no prompt is run more often than is worth it.
    """
    rows: list[list[int]] = []
    latest: dict[tuple[int, ...], list[int]] = {}
    for index in indices:
        prompt = tuple(sequences[index][0])
        row = latest.get(prompt)
        limit = max(budget, len(prompt) + (len(prompt) >> halvings))
        if row is not None and row_width(sequences, [*row, index]) <= limit:
            row.append(index)
        else:
            latest[prompt] = [index]
            rows.append(latest[prompt])
    return rows


def row_width(sequences: Sequence[IdPair], row: Sequence[int]) -> int:
    """Tokens of a row: its prompt once, and its responses."""
    return len(sequences[row[0]][0]) + sum(len(sequences[index][1]) for index in row)


def lay_out(sequences: Sequence[IdPair], rows: Sequence[Sequence[int]] | None = None) -> TokenLayout:
    """Lay out `(prompt_ids, response_ids)` sequences.

    Args:
        rows: indices of the sequences of each row, all of one prompt; None gives each sequence a row of its own.

    Raises:
        ValueError: there is no sequence, or one has an empty prompt or an empty response.
    """
    if not sequences:
        raise ValueError("there is no sequence to lay out")
    for index, (prompt, response) in enumerate(sequences):
        if not prompt or not response:
            raise ValueError(f"sequence {index} has an empty {'response' if prompt else 'prompt'}")
    groups = rows if rows is not None else [[index] for index in range(len(sequences))]
    ids, positions, segments = [], [], []
    place: dict[int, tuple[int, torch.Tensor]] = {}
    for row, group in enumerate(groups):
        prompt = sequences[group[0]][0]
        # The last token of a response predicts nothing that is asked for, so it is never an input.
        bodies = [sequences[index][1][:-1] for index in group]
        starts = accumulate((len(body) for body in bodies), initial=len(prompt))
        for index, body, start in zip(group, bodies, starts, strict=False):
            columns = torch.arange(start - 1, start + len(body))
            columns[0] = len(prompt) - 1
            place[index] = row, columns
        ids.append(torch.tensor([*prompt, *(token for body in bodies for token in body)]))
        positions.append(torch.cat([torch.arange(len(prompt)), *(len(prompt) + torch.arange(len(b)) for b in bodies)]))
        sizes = torch.tensor([len(prompt), *map(len, bodies)])
        segments.append(torch.repeat_interleave(torch.arange(len(sizes)), sizes))
    lengths = torch.tensor([len(response) for _, response in sequences])
    return TokenLayout(
        input_ids=_padded(ids, 0),
        positions=_padded(positions, 0),
        segments=_padded(segments, -1),
        rows=torch.repeat_interleave(torch.tensor([place[index][0] for index in range(len(sequences))]), lengths),
        columns=torch.cat([place[index][1] for index in range(len(sequences))]),
        targets=torch.tensor([token for _, response in sequences for token in response]),
        lengths=lengths,
        shared=len(groups) < len(sequences),
    )


def _padded(rows: list[torch.Tensor], value: int) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
