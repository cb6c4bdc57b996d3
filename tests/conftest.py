"""For every test: no network, one torch thread (tests run side by side on few cores), the same seeds; tiny models."""

import gc
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import random

import numpy as np
import pytest
import torch

torch.set_num_threads(1)

pytest_plugins = ["tests.tiny_models", "tests.tiny_training", "tests.vllm_engine"]


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
