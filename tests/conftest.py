"""For every test: no network, one torch thread (tests run side by side on few cores), the same seeds; tiny models."""

import gc
import importlib
import importlib.metadata
import logging
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

os.environ["HF_HUB_OFFLINE"] = "1"
# Sweeps share stages through a folder of the user's: those of tests do not.
os.environ["ICR_CACHE"] = tempfile.mkdtemp(prefix="icr-cache-")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import random

import numpy as np
import pytest
import torch

torch.set_num_threads(1)

pytest_plugins = ["tests.tiny_models", "tests.tiny_gguf", "tests.tiny_training", "tests.vllm_engine"]


def pytest_collection_finish() -> None:
    """What imports have made stays: each model that is loaded would look through it again, for a third of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeds() -> None:
    """The same random numbers for every test, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that the repository does not ship: `$ICR_SHARED_DATA`, or `../shared/data` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ICR_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip("needs the shared data: set ICR_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def alpaca_eval() -> ModuleType:
    """The package, which wants a module that setuptools no longer has, and sets the level of everybody's log."""
    level, stand_in = logging.getLogger().level, ModuleType("pkg_resources")
    vars(stand_in)["get_distribution"] = lambda name: SimpleNamespace(version=importlib.metadata.version(name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pkg_resources", stand_in)
        package = importlib.import_module("alpaca_eval")
        importlib.import_module("alpaca_eval.metrics.glm_winrate")
    logging.getLogger().setLevel(level)
    return package
