"""A training as a run does it, of a tiny model on a handful of given preferences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from icr.losses import Objective
from icr.models.arithmetic import Arithmetic
from icr.models.loading import Loader
from icr.modules.schedule import Schedule
from icr.rounds import pairs
from icr.rundir import Key, RunDirectory
from icr.training import DDP, TrainerSettings, Training
from icr.training.regenerate_pairs import GivenPairs, RoundStart
from icr.types import Preference
from tests.e2e import tiny

PREFERENCES = [Preference(str(i), "en", f"Name {i}.", "ab" * (i + 2), "cd" * (i + 1)) for i in range(6)]


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """`train(objective, lr=…)`: train for six steps and return the run directory; `start` takes 64 positions."""

    def run(objective: Objective, lr: float = 0.01, start: str = "", preferences=PREFERENCES) -> Path:
        start = start or tiny.byte_llama(tmp_path / "start", 0, context=64)
        keys = {f"round_0/{stage}": Key({}, {}) for stage in ("skipped", "pairs", "model")}
        store = RunDirectory(tmp_path / "run", keys)
        training = Training(
            objective,
            lambda parameters: torch.optim.SGD(parameters, lr=lr),
            Schedule(),
            TrainerSettings(global_batch_size=2, epochs=2, accelerator="cpu"),
            DDP(),
        )

        def given(policy):
            start_of_round = RoundStart(store, 0, policy, None, Loader(), Arithmetic(), (0, 0))
            return GivenPairs(start_of_round, make=lambda renderer: pairs.from_given(preferences, renderer), context=64)

        training.run(store, 0, lambda: Loader().load(start), given, [])
        return store.path

    return run
