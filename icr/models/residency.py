"""Which models are in memory together: those over the same weights share them, others may take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
    hosts = [trained]
    models: list[PreTrainedModel | Opener] = []
    for path in pair:
        quantised = loader.quantises(path)
        host = next((h for h in hosts if shares_weights(h, path) and adapters.is_quantised(h.model) == quantised), None)
        if host:
            models.append(partial(as_on, host, path))
        elif one_at_a_time:
            models.append(partial(visiting, loader, path, trained, device))
        else:
            hosts.append(loader.load(path, device))
            models.append(hosts[-1].model)
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
    return host.base is not None and _same(host.base, base_of(path) or path)


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


def _same(one: str, other: str | None) -> bool:
    if other is not None and Path(one).is_dir() and Path(other).is_dir():
        return Path(one).resolve() == Path(other).resolve()
    return one == other
