"""How (prompt, response) sequences lie in the tensors of one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch


@dataclass(slots=True)
class TokenLayout:
    """`S` sequences in rows of `L` tokens, with their `T` response tokens as targets.

    Attributes:
        input_ids: right-padded rows. Shape `[S, L]`, int64. A causal model never sees the padding from a real token, so
            there is no mask and no dependence on which token pads.
        rows, columns: where the hidden state that predicts each target lies (the position before it). Shape `[T]`.
        targets: the response tokens, sequences one after the other. Shape `[T]`.
        lengths: response tokens of each sequence. Shape `[S]`, sums to `T`.
    """

    input_ids: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor

    def to(self, device: torch.device) -> TokenLayout:
        """The same layout on `device`."""
        return TokenLayout(*(getattr(self, field.name).to(device) for field in fields(self)))


def lay_out(sequences: Sequence[tuple[Sequence[int], Sequence[int]]]) -> TokenLayout:
    """Lay out `(prompt_ids, response_ids)` sequences, each a row of its own.

    Raises:
        ValueError: there is no sequence, or one has an empty prompt or an empty response.
    """
    if not sequences:
        raise ValueError("there is no sequence to lay out")
    for index, (prompt, response) in enumerate(sequences):
        if not prompt or not response:
            raise ValueError(f"sequence {index} has an empty {'response' if prompt else 'prompt'}")
    # The last response token predicts nothing that is asked for, so it is never an input.
    inputs = [torch.tensor([*prompt, *response[:-1]]) for prompt, response in sequences]
    lengths = torch.tensor([len(response) for _, response in sequences])
    rows = torch.repeat_interleave(torch.arange(len(sequences)), lengths)
    columns = torch.cat([torch.arange(len(response)) + len(prompt) - 1 for prompt, response in sequences])
    return TokenLayout(
        input_ids=torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True, padding_value=0),
        rows=rows,
        columns=columns,
        targets=torch.tensor([token for _, response in sequences for token in response]),
        lengths=lengths,
    )
