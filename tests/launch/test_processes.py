"""How many processes a run has, and what is said where settings, launcher and machine do not fit."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest
from torch.distributed.elastic.multiprocessing.errors import ErrorHandler, ProcessFailure

from icr.errors import ConfigError, RunError
from icr.launch import processes as launch
from icr.training.fit import TrainerSettings
from icr.training.strategies import DDP


def training(strategy=DDP(), **settings) -> SimpleNamespace:  # noqa: B008
    """A training on this machine's CPU."""
    return SimpleNamespace(settings=TrainerSettings(accelerator="cpu", **settings), strategy=strategy)


@pytest.fixture
def torchrun(monkeypatch):
    """As if torchrun had started four processes, of which this is the third."""
    names = {"RANK": 2, "LOCAL_RANK": 2, "WORLD_SIZE": 4, "TORCHELASTIC_RUN_ID": "x"}
    for name, value in names.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(("devices", "count"), [(1, 1), ("1", 1), (3, 3), ("4", 4), ("auto", 1), (-1, 1)])
def test_devices_of_a_cpu_are_processes(devices, count, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert launch.environment() is None
    assert launch.processes(training(devices=devices)) == count


@pytest.mark.parametrize("settings", [{"devices": 4}, {"devices": "auto"}, {"devices": 2, "num_nodes": 2}])
def test_processes_that_were_started_are_joined(torchrun, settings):
    assert launch.environment().global_rank() == 2
    assert launch.processes(training(**settings)) == 1


def test_a_process_that_was_started_alone_is_alone(torchrun, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launch.environment() is None


def test_another_number_of_processes_is_refused(torchrun):
    with pytest.raises(ConfigError, match=r"started 4 processes, but trainer\.devices × trainer\.num_nodes is 2"):
        launch.processes(training(devices=2))


def test_several_nodes_need_a_launcher():
    with pytest.raises(ConfigError, match=r"trainer\.num_nodes=2 needs a launcher .* torchrun --nnodes=2"):
        launch.processes(training(num_nodes=2))


def test_more_processes_than_cores_are_refused(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"trainer\.devices=1000: .* and this machine has 2 cores"):
        launch.processes(training(devices=1000))


@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "mps"])
def test_an_accelerator_that_is_not_there(accelerator, monkeypatch):
    monkeypatch.setattr(launch.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(launch.torch.backends.mps, "is_available", lambda: False)
    asked = SimpleNamespace(settings=TrainerSettings(accelerator=accelerator), strategy=DDP())
    with pytest.raises(ConfigError, match=rf"trainer\.accelerator={accelerator}: torch \S+ finds none on this machine"):
        launch.processes(asked)


def test_more_threads_than_cores_are_refused(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"trainer\.threads=3, but this machine has 2 cores"):
        launch.processes(training(threads=3))
    assert launch.processes(training(threads=2)) == 1


@pytest.mark.parametrize("devices", [-1, "-1", "auto", 1])
def test_all_devices_of_a_cpu_are_one_for_lightning_too(devices):
    from lightning.pytorch import Trainer

    asked = TrainerSettings(accelerator="cpu", devices=devices).alone
    assert Trainer(accelerator="cpu", devices=asked, logger=False, enable_checkpointing=False).num_devices == 1


def test_a_list_of_devices_is_not_of_cpus():
    with pytest.raises(ConfigError, match="on CPU is a number of processes, got '0,1'"):
        launch.processes(training(devices="0,1"))


def test_more_cuda_devices_than_there_are(monkeypatch):
    monkeypatch.setattr(launch.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: 2)
    gpu = SimpleNamespace(settings=TrainerSettings(accelerator="gpu", devices=3), strategy=DDP())
    with pytest.raises(ConfigError, match=r"trainer\.devices=3, but this machine has 2 CUDA devices"):
        launch.processes(gpu)
    gpu.settings = TrainerSettings(accelerator="gpu", devices="auto")
    assert launch.processes(gpu) == 2
    gpu.settings = TrainerSettings(accelerator="gpu", devices="1,")
    assert launch.processes(gpu) == 1


def test_a_strategy_that_does_not_accumulate_is_given_whole_steps():
    whole = SimpleNamespace(accumulates=False)
    with pytest.raises(ConfigError, match=r"set trainer\.micro_batch_size=16\."):
        launch.processes(training(whole, devices=2, global_batch_size=32, micro_batch_size=8))
    assert launch.processes(training(whole, devices=2, global_batch_size=32, micro_batch_size=16)) == 2


def failure(folder, rank: int, exitcode: int, error: Exception | None = None, after: float = 0) -> ProcessFailure:
    """What the launcher knows of a rank that ended, with the file that a worker leaves."""
    file = folder / f"{rank}.json"
    if error:
        handler = ErrorHandler()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
            handler.record_exception(error)
        os.utime(file, (0, 1000 + after))
    return ProcessFailure(local_rank=rank, pid=rank + 100, exitcode=exitcode, error_file=str(file))


@pytest.mark.parametrize("bad", [0, 1])
def test_the_first_error_is_the_cause(tmp_path, bad):
    """What another rank then met, or that it was stopped, is not."""
    own = failure(tmp_path, bad, 2, RunError("No pair: sample more."))
    late = failure(tmp_path, 1 - bad, 1, RuntimeError("connection closed by peer"), after=0.25)
    stopped = failure(tmp_path, 2, -signal.SIGTERM)
    cause = launch._cause({bad: own, 1 - bad: late, 2: stopped})
    assert (type(cause), str(cause)) == (RunError, "No pair: sample more.")


def test_a_killed_rank_is_the_cause_of_what_the_others_met(tmp_path):
    lost = failure(tmp_path, 0, 1, RuntimeError("connection closed by peer"))
    cause = launch._cause({0: lost, 1: failure(tmp_path, 1, -signal.SIGKILL), 2: failure(tmp_path, 2, -signal.SIGTERM)})
    assert str(cause).startswith("Rank 1 was killed by SIGKILL")


def test_an_error_of_ours_keeps_its_traceback(tmp_path):
    try:
        raise KeyError("slip")
    except KeyError as error:
        cause = launch._cause({3: failure(tmp_path, 3, 1, error)})
    assert type(cause) is RuntimeError
    assert "rank 3 failed" in str(cause)
    assert "KeyError: 'slip'" in str(cause)
    assert "test_an_error_of_ours_keeps_its_traceback" in str(cause)
