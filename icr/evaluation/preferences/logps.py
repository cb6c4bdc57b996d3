"""Log-probs of labelled answers under a model, as a stage of the run directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from icr import distributed
from icr.data import RewardPrompt
from icr.data.labelled import Labelled, response_ids
from icr.errors import RunError
from icr.logps import NonFiniteLogpError, score
from icr.models import LoadedModel, Renderer
from icr.progress import progress
from icr.rundir import RunDirectory, Table
from icr.sampling.decoding import OnBatch
from icr.types import Prompt, Response

PART = 256
"""Rows per process that are scored between two saves."""


@dataclass(frozen=True, slots=True)
class PairLogps:
    """Log-probs of the two answers of a labelled row under one model, in nats, summed over tokens in float64.

    Attributes:
        id, language: of the row's prompt.
        chosen_logp, rejected_logp: `log π(y|x)`, end-of-turn token included.
        chosen_tokens, rejected_tokens: `|y|`, end-of-turn token included.
        chosen_head_logp, rejected_head_logp: `Σ_{t ≤ n} log π(y_t | x, y_<t)`: at equal length.
        head_tokens: `n`, that length.
    """

    id: str
    language: str
    chosen_logp: float
    rejected_logp: float
    chosen_tokens: int
    rejected_tokens: int
    chosen_head_logp: float
    rejected_head_logp: float
    head_tokens: int


@dataclass(frozen=True)
class Scoring:
    """What is scored, and how.

    Attributes:
        rows: labelled answers of all languages.
        prompt: under which text they are scored.
        tokens_per_batch: of one pass, padded.
    """

    rows: Sequence[Labelled]
    prompt: RewardPrompt
    tokens_per_batch: int

    def stage(self, store: RunDirectory, stage: str, load: Callable[[], LoadedModel], what: str) -> list[PairLogps]:
        """A stage of one model's log-probs, one row per labelled row, in order, saved part by part.

        The rows are shared out over the processes of the run.

        Args:
            store: the run directory.
            stage: its name.
            load: loads the model, once the first part is to be scored.
            what: names the work in its progress bar.

        Raises:
            RunError: a log-prob is not finite; the row is named.
        """
        loaded = cache(load)
        by_key = {(row.prompt.id, row.prompt.language): row for row in self.rows}
        prompts = [row.prompt for row in self.rows]
        with progress(2 * len(prompts), what) as update:

            def make(part: Sequence[Prompt]) -> list[PairLogps]:
                mine = [by_key[prompt.id, prompt.language] for prompt in distributed.shard(part)]
                return distributed.gather_to_rank0(self.logps(mine, loaded(), update))

            return store.rows_by_prompt(stage, Table(PairLogps), prompts, PART * distributed.size(), make)

    def logps(self, rows: Sequence[Labelled], model: LoadedModel, on_batch: OnBatch) -> list[PairLogps]:
        """Log-probs of these rows, in order. Called by all ranks together, each with its share.

        Raises:
            RunError: a log-prob is not finite; the row is named.
        """
        sequences = self.sequences(rows, model)
        budget = self.tokens_per_batch
        try:
            values = score(model.model, sequences, tokens_per_batch=budget, on_batch=on_batch, all_ranks=True)
        except NonFiniteLogpError as error:
            bad = rows[error.index // 2].prompt
            raise RunError(
                f"The log-probs of the labelled answers to prompt {bad.id!r} in {bad.language!r} are not finite under "
                f"{model.path}: the weights hold NaN, or their dtype overflows (try model.loader.dtype=float32)."
            ) from error
        return [
            _summed(row, [ids for _, ids in sequences[2 * n : 2 * n + 2]], values[2 * n : 2 * n + 2])
            for n, row in enumerate(rows)
        ]

    def sequences(self, rows: Sequence[Labelled], model: LoadedModel) -> list[tuple[list[int], list[int]]]:
        """`(prompt_ids, response_ids)` of each row's chosen answer and of its rejected one, row by row."""
        responses = [response for row in rows for response in _responses(row, model.renderer)]
        by_key = {(row.prompt.id, row.prompt.language): row.prompt for row in rows}
        return self.prompt.sequences(responses, by_key, model)


def _responses(row: Labelled, renderer: Renderer) -> list[Response]:
    chosen, rejected, _ = response_ids(row, renderer)
    texts = zip((row.chosen, row.rejected), (chosen, rejected), strict=True)
    return [
        Response(row.prompt.id, row.prompt.language, k, [], ids, text, "stop") for k, (text, ids) in enumerate(texts)
    ]


def _summed(row: Labelled, ids: Sequence[list[int]], values: Sequence[np.ndarray]) -> PairLogps:
    n = min(map(len, ids)) - 1
    sums = [float(np.sum(of, dtype=np.float64)) for of in values]
    heads = [float(np.sum(of[:n], dtype=np.float64)) for of in values]
    if ids[0][:n] == ids[1][:n]:
        heads[1] = heads[0]  # In 16 bits two passes over the same tokens may differ, and a tie would be none.
    return PairLogps(
        id=row.prompt.id,
        language=row.prompt.language,
        chosen_logp=sums[0],
        rejected_logp=sums[1],
        chosen_tokens=len(ids[0]),
        rejected_tokens=len(ids[1]),
        chosen_head_logp=heads[0],
        rejected_head_logp=heads[1],
        head_tokens=n,
    )
