"""What was found out about models: which way each is run, once per architecture and precision."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

from icr import distributed
from icr.errors import ModelError
from icr.logps.trial import Ways, train_mode_problem, try_ways

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What may change the way, of one model.

    Attributes:
        attention: its attention implementation.
        weights: dtype of its weights.
        autocast: dtype of mixed precision; None outside `torch.autocast`.
        device: kind of device.
        head: class of its head, which an adapter replaces.
    """

    attention: str
    weights: torch.dtype
    autocast: torch.dtype | None
    device: str
    head: type

    @classmethod
    def of(cls, model: PreTrainedModel) -> Setting:
        """The model as it is, at this moment."""
        kind = model.device.type
        autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        head = type(model.get_output_embeddings())
        return cls(model.config._attn_implementation, model.dtype, autocast, kind, head)

    def __str__(self) -> str:
        mixed = f" under autocast to {self.autocast}" if self.autocast else ""
        return f"{self.attention} in {self.weights}{mixed}".replace("torch.", "")


_of_model: WeakKeyDictionary[PreTrainedModel, dict[Setting, Ways]] = WeakKeyDictionary()
_settled: WeakKeyDictionary[PreTrainedModel, set[Setting]] = WeakKeyDictionary()
_of_architecture: dict[tuple[type, str, Setting], Ways] = {}


def ways_of(model: PreTrainedModel) -> Ways:
    """How this model is run in this precision, found out at its first use, and said in the log where it is not best.

    Models of one architecture (class and configuration) are run the same way: a policy and its reference differ in
    nothing but their weights.

    Raises:
        ModelError: its log-probs cannot be had.
    """
    found = _found(model)
    if found.refused:
        raise ModelError(f"No log-probs can be had of {type(model).__name__}: {found.refused}.")
    return found


def settle(model: PreTrainedModel) -> None:
    """Have all ranks find out how this model is run, and agree on it. Called by all of them, or by none.

    Raises:
        ModelError: on all ranks: its log-probs cannot be had on one.
    """
    setting = Setting.of(model)
    settled = _settled.setdefault(model, set())
    if setting not in settled:
        first, *others = distributed.all_gather(_found(model))
        for other in others:
            first = first.and_also(other)
        _of_model[model][setting] = first
        settled.add(setting)
    ways_of(model)


def require_calm_training(model: PreTrainedModel) -> None:
    """Refuse to train a model whose training mode gives other log-probs than its evaluation mode, on any rank.

    Called by all ranks, or by none.

    Raises:
        ModelError: naming the family.
    """
    settle(model)
    found = ways_of(model)
    problems = distributed.all_gather(train_mode_problem(model, found.tolerance))
    if not found.together:
        problems.append("sequences of different lengths cannot be run together")
    if problem := next(filter(None, problems), ""):
        raise ModelError(
            f"{type(model).__name__} ({model.config.model_type}) cannot be trained: {problem}. It can sample, "
            f"score and be a reference."
        )


def _found(model: PreTrainedModel) -> Ways:
    seen, setting = _of_model.setdefault(model, {}), Setting.of(model)
    if setting not in seen:
        stated = {name: value for name, value in model.config.to_dict().items() if name != "_name_or_path"}
        architecture = type(model), repr(sorted(stated.items())), setting
        if architecture not in _of_architecture:
            seen[setting] = found = try_ways(model)
            _say(model, setting, found)
            if not found.finite:
                return found  # Of weights that are not numbers nothing is learnt about others.
            _of_architecture[architecture] = found
        seen[setting] = _of_architecture[architecture]
    return seen[setting]


def _say(model: PreTrainedModel, setting: Setting, found: Ways) -> None:
    if found.refused:
        return
    name, why = f"{type(model).__name__} with {setting.attention}", found.why and f" ({found.why}; {setting})"
    if not found.head:
        how = "padded" if found.together else "one sequence at a time"
        log.warning("%s gives its log-probs by its own forward pass alone, %s, which is slower%s", name, how, why)
    elif not found.shares:
        log.info("%s cannot share prompts between responses: each response is run with its own prompt", name)
    if found.head and found.why:
        log.info("%s: what was tried and left%s", name, why)
