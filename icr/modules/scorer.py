"""Reward scoring: the log-probs of a policy and a reference, and no loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from lightning.pytorch import LightningModule
from transformers import PreTrainedModel

from icr.logps import score


class ImplicitRewardModule(LightningModule):
    """Scores responses under the reward pair `(π, π_ref)`; `predict` returns the token log-probs of both.

    Nothing here is trained: both models are frozen and in evaluation mode.
    """

    def __init__(self, policy: PreTrainedModel, reference: PreTrainedModel, *, tokens_per_batch: int):
        super().__init__()
        self.policy = policy.requires_grad_(False).eval()
        self.reference = reference.requires_grad_(False).eval()
        self.tokens_per_batch = tokens_per_batch

    def predict_step(
        self,
        batch: Sequence[tuple[Sequence[int], Sequence[int]]],
        batch_idx: int = 0,
        on_batch: Callable[[int], object] = lambda done: None,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Token log-probs of each `(prompt_ids, response_ids)` under both models.

        Returns:
            `(policy, reference)` a sequence, each of the response's length, float32, nats.

        Raises:
            NonFiniteLogpError: a log-prob is NaN or infinite.
        """
        options = {"tokens_per_batch": self.tokens_per_batch, "on_batch": on_batch}
        policy = score(self.policy, batch, **options)
        reference = score(self.reference, batch, **options)
        return list(zip(policy, reference, strict=True))
