"""Which models are in memory together: those over the same weights share them, others may take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel

from icr.models import adapters
from icr.models.folder import base_of
from icr.models.loading import LoadedModel, Loader
from icr.models.memory import discard, offloaded

Opener = Callable[[], AbstractContextManager[PreTrainedModel]]
"""Opens a model that can be used until it is closed."""

GUEST = "guest"
"""peft's name of an adapter that is on a model for a moment."""


@dataclass(frozen=True)
class Weights:
    """What decides whether two models can have the same weights in memory.

    Attributes:
        path: of the model, or of its adapter.
        base: of the model under its adapter; None where it has none.
        quantised: whether its weights are in 4 bits.
    """

    path: str
    base: str | None
    quantised: bool

    def holds(self, other: Weights) -> bool:
        """Whether `other` is this one with another adapter, or with none, however many bits either has."""
        return _lies_on(self.base, other.base or other.path)

    def serves(self, other: Weights) -> bool:
        """Whether it is so with the same bits per weight."""
        return self.holds(other) and self.quantised == other.quantised


def hosts(trained: Weights, pair: Sequence[Weights], *, one_at_a_time: bool) -> list[int]:
    """Whose weights each model of the reward pair uses, by place in `[trained, *pair]`: its own where nobody's serve.

    Args:
        one_at_a_time: whether a model with weights of its own is there only while it is used, and so serves no other.
    """
    models = [trained, *pair]
    found = [0]
    for place in range(1, len(models)):
        there = [0] if one_at_a_time else [other for other in range(place) if found[other] == other]
        found.append(next((other for other in there if models[other].serves(models[place])), place))
    return found[1:]


def together(hosts: Sequence[int], *, one_at_a_time: bool, offloads: bool) -> list[list[int]]:
    """Models whose weights are in memory together while the pair scores, one list per moment, by place as in `hosts`.

    Args:
        offloads: whether the device is one that `trained` leaves while another model visits it.
    """
    own = [place for place, host in enumerate(hosts, 1) if host == place]
    if not one_at_a_time:
        return [[0, *own]]
    return [[0], *([place] if offloads else [0, place] for place in own)]


def reward_pair(
    loader: Loader, pair: tuple[str, str], trained: LoadedModel, device: torch.device | str, *, one_at_a_time: bool
) -> list[PreTrainedModel | Opener]:
    """The models of the reward pair: in memory, or opened when they are needed.

    A model over the weights of another one here, with the same bits per weight, is that one with another adapter or
    none.

    Args:
        trained: the round's start, in memory already.
        one_at_a_time: whether a model with weights of its own is in memory only while it is open, and `trained` is off
            the device meanwhile.
    """
    start = Weights(trained.path, trained.base, adapters.is_quantised(trained.model))
    asked = [Weights(path, base_of(path), loader.quantises(path)) for path in pair]
    loaded = {0: trained}
    models: list[PreTrainedModel | Opener] = []
    for place, host in enumerate(hosts(start, asked, one_at_a_time=one_at_a_time), 1):
        path = pair[place - 1]
        if host != place:
            models.append(partial(as_on, loaded[host], path))
        elif one_at_a_time:
            models.append(partial(visiting, loader, path, trained, device))
        else:
            loaded[place] = loader.load(path, device)
            models.append(loaded[place].model)
    return models


@contextmanager
def beside(loader: Loader, path: str, trained: LoadedModel) -> Iterator[LoadedModel]:
    """The model at `path` for as long as the context lasts, on the weights of `trained` if it has an adapter on them.

    Quantised weights serve too: the training reference is then what the policy was.
    """
    if shares_weights(trained, path):
        with as_on(trained, path) as model:
            yield LoadedModel(model, trained.renderer, path)
    else:
        loaded = loader.load(path, trained.model.device)
        yield loaded
        discard(loaded.model)


def shares_weights(host: LoadedModel, path: str) -> bool:
    """Whether the model at `path` is the one under the adapter of `host`, or another adapter on it."""
    return _lies_on(host.base, base_of(path) or path)


@contextmanager
def as_on(host: LoadedModel, path: str) -> Iterator[PreTrainedModel]:
    """The model of `host` as it is at `path`: without its adapter, as it stands, or with the adapter at `path`.

    Afterwards it is what it was: the same adapter, and the same parameters that are trained.
    """
    if _same(path, host.path) and not _same(path, host.base):
        yield host.model
        return
    model = host.model
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    (own,) = model.active_adapters()
    guest = not _same(path, host.base)
    try:
        if guest:
            adapters.load_adapter(model, path, GUEST)
        else:
            adapters.switch(model, on=False)
        yield model
    finally:
        if guest and GUEST in model.peft_config:
            model.set_adapter(own)
            model.delete_adapter(GUEST)
        adapters.switch(model, on=True)
        for parameter in model.parameters():
            parameter.requires_grad = id(parameter) in trained


@contextmanager
def visiting(loader: Loader, path: str, trained: LoadedModel, device: torch.device | str) -> Iterator[PreTrainedModel]:
    """The model at `path`, loaded for as long as the context lasts, with `trained` off the device."""
    with offloaded(trained.model):
        model = loader.load(path, device).model
        try:
            yield model
        finally:
            discard(model)


def _lies_on(base: str | None, path: str) -> bool:
    return base is not None and _same(base, path)


def _same(one: str, other: str | None) -> bool:
    if other is not None and Path(one).exists() and Path(other).exists():
        return Path(one).resolve() == Path(other).resolve()
    return one == other
