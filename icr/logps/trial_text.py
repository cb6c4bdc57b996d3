"""The sequences that a model is tried on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from icr.logps.family import stated
from icr.logps.layout import IdPair
from icr.logps.windows import SHORT

LENGTH, LONGEST = 320, 1200
"""Tokens of the longest sequence that is tried, and of the longest where a window cannot be cut short."""


@dataclass(frozen=True)
class Text:
    """Token ids to try a model on.

    The second half of the long prompt, and what follows it, repeats a piece that is longer than a cut window: a model
    that has learnt to repeat gives other log-probs with the window than without.

    Attributes:
        sequences: one prompt with four responses (the first of one token, the second going on where it ends, the third
            parting from the second after `common` tokens, the fourth longer than the second), and a short prompt.
        common: tokens that second and third response begin with alike.
        length: tokens of the longest sequence.
    """

    sequences: list[IdPair]
    common: int
    length: int

    @classmethod
    def of(cls, model: PreTrainedModel, length: int = LENGTH) -> Text:
        """As long as the model's context allows."""
        config = model.config.get_text_config()
        vocabulary: int = config.vocab_size
        positions: int = stated(config, "max_position_embeddings") or -1  # XLNet has −1 for any number.
        length = min(length, LONGEST, positions - 8 if positions > 0 else LONGEST)
        tail = max(3, length // 6)
        generator = torch.Generator().manual_seed(0)
        low, high = vocabulary // 4, max(vocabulary // 4 + 1, 3 * vocabulary // 4)  # Special tokens are at the ends.
        drawn = torch.randint(low, high, (length,), generator=generator).tolist()
        piece = drawn[: SHORT + 6]
        text = [*drawn[: length // 2], *(piece * length)][:length]
        prompt, rest = text[: length - tail - tail // 3], text[length - tail - tail // 3 :]
        common = tail // 3
        parting = [*rest[:common], *drawn[length // 2 :][: tail - common]]
        responses = [rest[:1], rest[:tail], parting, rest]
        return cls([*((prompt, one) for one in responses), (drawn[-tail // 2 :], drawn[:tail])], common, length)

    @property
    def longest(self) -> IdPair:
        """The sequence of `length` tokens."""
        return self.sequences[3]
