"""Sequence classifiers of one label, as reward models are published: checked, loaded, run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from icr.errors import ModelError
from icr.models.configuration import configuration, context_length
from icr.models.dtypes import torch_dtype
from icr.models.folder import base_of
from icr.models.gguf import refuse_gguf
from icr.models.memory import move
from icr.models.rendering import Renderer
from icr.models.tokenizer import load_tokenizer
from icr.models.whole import check_files, load_whole

log = logging.getLogger(__name__)

KIND = "ForSequenceClassification"


def check_classifier(
    path: str, chat_template: str = "", trust_remote_code: bool = False
) -> tuple[Renderer, int | None]:
    """The renderer of the reward model at `path`, and the positions that it takes (None where it states none).

    No weights are read, but that they are there is seen.

    Args:
        chat_template: in place of the tokenizer's.

    Raises:
        ModelError: there is no such folder, it is an adapter, no sequence classifier or one of several labels, its
            weights are not whole in safetensors, or it has no chat template that renders conversations.
    """
    if base_of(path):
        raise ModelError(f"reward.path: {path} is an adapter; merge it into its model, and give the merged one.")
    refuse_gguf(path, "reward.path")
    config = configuration(path, trust_remote_code)
    kinds = config.architectures or ["a model without a named architecture"]
    if not trust_remote_code and not any(kind.endswith(KIND) for kind in kinds):
        raise ModelError(
            f"reward.path: {path} is {kinds[0]}, and no sequence classifier (…{KIND}): give a reward model, whose head "
            f"gives one number, or choose reward=implicit."
        )
    if config.num_labels != 1:
        raise ModelError(
            f"reward.path: {path} has {config.num_labels} labels, and a reward model has one: give one whose "
            f"config.json says so."
        )
    check_files(path)
    tokenizer = load_tokenizer(path, trust_remote_code)
    if chat_template:
        tokenizer.chat_template = chat_template
    if not tokenizer.chat_template:
        raise ModelError(
            f"The tokenizer of the reward model {path} has no chat template: give the one that it was trained with, as "
            f"reward.chat_template."
        )
    source = "reward.chat_template" if chat_template else f"The chat template of the reward model {path}"
    return Renderer(tokenizer, source=source), context_length(path, trust_remote_code)


def load_classifier(
    path: str, dtype: str, device: torch.device | str, trust_remote_code: bool = False
) -> PreTrainedModel:
    """The reward model at `path`, frozen and in evaluation mode.

    Raises:
        ModelError: it cannot be loaded, or a weight is missing, such as those of its head.
    """
    model = load_whole(
        path, AutoModelForSequenceClassification, dtype=torch_dtype(dtype), trust_remote_code=trust_remote_code
    )
    move(model, device)
    model.requires_grad_(False).eval()
    return model


@torch.inference_mode()
def classify(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    *,
    tokens_per_batch: int,
    on_batch: Callable[[int], object] = lambda done: None,
) -> list[float]:
    """The one logit of each sequence, by transformers' own forward pass, in length-sorted batches.

    Rows are padded on the right with the pad token of the model's configuration, which is how transformers finds the
    last token of each; one without is run a sequence at a time. Equal sequences are run once, so that they cannot
    differ in the last bit. When the device runs out of memory the budget is halved and the rest goes on.

    Args:
        tokens_per_batch: rows times longest row of a pass; a longer sequence is a batch of its own.
        on_batch: called with the number of sequences that each batch has finished.
    """
    copies: dict[tuple[int, ...], list[int]] = {}
    for index, ids in enumerate(sequences):
        copies.setdefault(tuple(ids), []).append(index)
    left, found = sorted(copies, key=lambda ids: (-len(ids), ids)), [0.0] * len(sequences)
    pad = model.config.pad_token_id
    while left:
        try:
            for batch in _batches(left, tokens_per_batch if pad is not None else 0):
                for ids, value in zip(batch, _logits(model, batch, pad or 0), strict=True):
                    for index in copies[ids]:
                        found[index] = value
                left = left[len(batch) :]
                on_batch(sum(len(copies[ids]) for ids in batch))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if len(batch) == 1:
                raise
            tokens_per_batch //= 2
            log.warning("out of memory: the token budget of the reward model is halved to %d", tokens_per_batch)
    return found


def _batches(ordered: Sequence[tuple[int, ...]], budget: int) -> Iterator[list[tuple[int, ...]]]:
    batch: list[tuple[int, ...]] = []
    for ids in ordered:
        if batch and (len(batch) + 1) * len(batch[0]) > budget:
            yield batch
            batch = []
        batch.append(ids)
    if batch:
        yield batch


def _logits(model: PreTrainedModel, batch: Sequence[tuple[int, ...]], pad: int) -> list[float]:
    width = max(map(len, batch))
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in batch], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch], device=model.device)
    logits = model(input_ids=ids, attention_mask=mask).logits
    values: list[float] = logits.double().squeeze(-1).tolist()
    return values
