"""Nothing of a round is in memory when the next one loads its model."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest

from icr.models import loading
from icr.modules.preference import PreferenceModule
from icr.run.__main__ import main
from tests.e2e.test_resume import settings


class Watched:
    """Weak references to models, modules, gradients and optimisers, noted as they are made."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, weakref.ref]] = []
        self.alive_at_a_start: list[list[str]] = []

    def note(self, name: str, made: object) -> None:
        self.seen.append((name, weakref.ref(made)))

    def names(self) -> list[str]:
        return [name for name, reference in self.seen if reference() is not None]


@pytest.fixture
def watched(monkeypatch) -> Watched:
    """Notes what is made, and what is left of it where a training loads its start, when the weights are read."""
    found, starting = Watched(), []

    def noting(function: Callable, name: str) -> Callable:
        def call(*args, **options):
            if starting and name == "model":
                found.alive_at_a_start.append(found.names())
                starting.clear()
            made = function(*args, **options)
            found.note(name, made)
            return made

        return call

    def load_for_training(loader, *args, before=loading.Loader.load_for_training, **options):
        starting.append(True)
        return before(loader, *args, **options)

    def step(module, optimizer, before=PreferenceModule.on_before_optimizer_step):
        found.note("module", module)
        found.note("optimiser", optimizer)
        found.note("gradient", next(p.grad for p in module.parameters() if p.grad is not None))
        return before(module, optimizer)

    monkeypatch.setattr(loading, "load_whole", noting(loading.load_whole, "model"))
    monkeypatch.setattr(loading.Loader, "load_for_training", load_for_training)
    monkeypatch.setattr(PreferenceModule, "on_before_optimizer_step", step)
    return found


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([], id="all weights"),
        pytest.param(["adapter=lora", "loss=kto"], id="adapter", marks=pytest.mark.slow),
    ],
)
def test_nothing_of_a_round_is_left_for_the_next(pocket_pair, tmp_path, watched: Watched, more, capfd):
    arguments = [
        *settings(pocket_pair),
        "iterations=3",
        "trainer.accelerator=cpu",
        *more,
        f"run.dir={tmp_path / 'run'}",
    ]
    assert main(arguments) == 0, capfd.readouterr()
    assert len(watched.alive_at_a_start) == 3
    assert {name for name, _ in watched.seen} == {"model", "module", "optimiser", "gradient"}
    assert watched.alive_at_a_start == [[], [], []]
