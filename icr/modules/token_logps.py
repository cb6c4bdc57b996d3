"""A policy and the engine that takes its log-probs as one module."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from icr.logps import TokenLayout, token_logps


class TokenLogps(torch.nn.Module):
    """`forward(layout)` is `token_logps(policy, layout)`.

    The engine calls the decoder and the head of a model, never the model itself, so that a strategy that acts when a
    module is called (FSDP2 gathers its weights then) needs a module around both.
    """

    def __init__(self, policy: PreTrainedModel):
        super().__init__()
        self.policy = policy

    def forward(self, layout: TokenLayout) -> torch.Tensor:
        """Log-probs of the layout's response tokens. Shape `[T]`, float32, nats."""
        return token_logps(self.policy, layout)
