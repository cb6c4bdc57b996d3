"""Reward scoring: the log-probs of a policy and a reference, and no loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from lightning.pytorch import LightningModule
from transformers import PreTrainedModel

from icr.logps import score
from icr.models.residency import Opener


class ImplicitRewardModule(LightningModule):
    """Scores responses under the reward pair `(π, π_ref)`; `predict` returns the token log-probs of both.

    Nothing here is trained: both models are frozen and in evaluation mode. Either may be an opener instead, whose model
    is there while it scores and is none of this module's.
    """

    def __init__(self, policy: PreTrainedModel | Opener, reference: PreTrainedModel | Opener, *, tokens_per_batch: int):
        super().__init__()
        self.policy = _frozen(policy)
        self.reference = _frozen(reference)
        self.tokens_per_batch = tokens_per_batch

    def predict_step(
        self,
        batch: Sequence[tuple[Sequence[int], Sequence[int]]],
        batch_idx: int = 0,
        on_batch: Callable[[int], object] = lambda done: None,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Token log-probs of each `(prompt_ids, response_ids)` under both models. Called by all ranks together.

        Returns:
            `(policy, reference)` per sequence, each of the response's length, float32, nats.

        Raises:
            NonFiniteLogpError: a log-prob is NaN or infinite.
        """
        sides = []
        for side in (self.policy, self.reference):
            with _opened(side) as model:
                budget = self.tokens_per_batch
                sides.append(score(model, batch, tokens_per_batch=budget, on_batch=on_batch, all_ranks=True))
        return list(zip(*sides, strict=True))


def _frozen(model: PreTrainedModel | Opener) -> PreTrainedModel | Opener:
    return model.requires_grad_(False).eval() if isinstance(model, PreTrainedModel) else model


def _opened(model: PreTrainedModel | Opener) -> AbstractContextManager[PreTrainedModel]:
    return nullcontext(model) if isinstance(model, PreTrainedModel) else model()
