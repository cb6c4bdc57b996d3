"""Starting the processes of a run on this machine, and joining those that torchrun or srun has started."""

from __future__ import annotations

import logging
import math
import os
import re
import signal
import socket
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments import ClusterEnvironment, SLURMEnvironment, TorchElasticEnvironment
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, start_processes
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from icr.errors import ConfigError, RunError
from icr.launch.parent import PARENT, follow
from icr.training.fit import TrainerSettings, Training

TIMEOUT = timedelta(hours=1)
"""Longest that a rank waits for the others, such as while rank 0 writes. A rank that ends is noticed at once."""

SHUTDOWN = 10
"""Seconds that ranks have to end by themselves when they are told to."""

PERIOD = 0.1
"""Seconds between two looks at whether a rank has ended."""

LOOPBACK = "127.0.0.1"
"""Where the processes of one machine meet: nobody on the network can join them."""


def device_of(settings: TrainerSettings) -> str:
    """Where models are loaded: the trainer's accelerator, if there is one."""
    return "cpu" if settings.accelerator == "cpu" or not torch.cuda.is_available() else "cuda"


def environment() -> ClusterEnvironment | None:
    """The launcher that has started this process among several: torchrun, srun or `start`; None where it is alone."""
    kind = next((kind for kind in (TorchElasticEnvironment, SLURMEnvironment) if kind.detect()), None)
    found = kind() if kind else None
    return found if found and found.world_size() > 1 else None


def by_torchrun(found: ClusterEnvironment) -> bool:
    """Whether torchrun has started it, and not a cluster's scheduler."""
    return isinstance(found, TorchElasticEnvironment)


def processes(training: Training) -> int:
    """Processes to start on this machine; 1 where nothing is to be started.

    Raises:
        ConfigError: devices, nodes, threads and strategy do not fit each other, or what there is.
    """
    settings, found = training.settings, environment()
    _check_machine(settings)
    if found is None and settings.num_nodes > 1:
        raise ConfigError(
            f"trainer.num_nodes={settings.num_nodes} needs a launcher that starts this command on every node, such as "
            f"torchrun --nnodes={settings.num_nodes} --nproc-per-node=<devices> -m icr.run … run.dir=<shared folder>."
        )
    devices = _devices(settings, found.world_size() // settings.num_nodes if found else None)
    size = devices * settings.num_nodes
    if found and size != found.world_size():
        raise ConfigError(
            f"The launcher has started {found.world_size()} processes, but trainer.devices × trainer.num_nodes is "
            f"{size}. Give trainer.devices=auto, or the numbers that the launcher has."
        )
    per_step = -(-settings.global_batch_size // size)
    if not training.strategy.accumulates and settings.micro_batch_size < per_step:
        raise ConfigError(f"This strategy takes a step in one micro-batch: set trainer.micro_batch_size={per_step}.")
    return 1 if found else devices


@contextmanager
def joined(settings: TrainerSettings) -> Iterator[None]:
    """Within it, this process is a rank of the run, if it was started among others, which `icr.distributed` knows."""
    cuda, found = device_of(settings) == "cuda", environment()
    if found is None:
        if cuda and (listed := _listed(settings)):
            torch.cuda.set_device(listed[0])
        yield
        return
    if cuda:
        torch.cuda.set_device(found.local_rank())
    if by_torchrun(found):
        follow()
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = found.main_address, str(found.main_port)
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    dist.init_process_group(backend, rank=found.global_rank(), world_size=found.world_size(), timeout=TIMEOUT)
    if dist.get_rank():
        logging.getLogger("icr").setLevel(logging.ERROR)
    yield
    dist.destroy_process_group()  # Not after an error: it would wait for the others.


def start(directory: Path, count: int, settings: TrainerSettings) -> None:
    """Run `icr.launch.worker` on the run directory in `count` processes of this machine, and wait for their end.

    Raises:
        RunError: a rank has met an error of the user's kind, or was killed.
        RuntimeError: a rank has met another error; its traceback is the message.
        KeyboardInterrupt: Ctrl-C, when all have ended.
    """
    os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    if device_of(settings) == "cuda" and (listed := _listed(settings)):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[i] if visible != [""] else str(i) for i in listed)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # Each of torch's has a level of its own.
    handled = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT
    kept = {number: signal.getsignal(number) for number in handled}
    with _store(count) as port, tempfile.TemporaryDirectory() as logs:
        context = None
        try:
            context = start_processes(
                "icr",
                sys.executable,
                dict.fromkeys(range(count), ("-m", "icr.launch.worker", str(directory))),
                {rank: _surroundings(rank, count, port) for rank in range(count)},
                DefaultLogsSpecs(log_dir=logs),
            )
            ended = context.wait(period=PERIOD)
            if ended and ended.is_failed():
                raise _cause(ended.failures)
        except SignalException as error:
            if context:
                context.close(error.sigval, SHUTDOWN)
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise SystemExit(128 + error.sigval) from None
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)


@contextmanager
def _store(count: int) -> Iterator[int]:
    """The port at which the ranks find each other. A socket of torch's own would listen to all of its networks."""
    listening = socket.create_server((LOOPBACK, 0))
    port = listening.getsockname()[1]
    store = dist.TCPStore(  # type: ignore[attr-defined]
        LOOPBACK, port, count, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach()
    )
    yield port
    del store  # It serves for as long as it is there.


def _surroundings(rank: int, count: int, port: int) -> dict[str, str]:
    """Environment of a rank: what torchrun gives, and that ranks talk to each other within this machine alone."""
    interface = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), "lo")
    values = {
        **{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": 0},
        **{"MASTER_ADDR": LOOPBACK, "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True},
        **{"TORCHELASTIC_RUN_ID": uuid.uuid4().hex, "TORCHELASTIC_RESTART_COUNT": 0},
        **{"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": f"={interface}"},
        PARENT: os.getpid(),
    }
    return {name: str(value) for name, value in values.items()}


def _cause(failures: dict[int, ProcessFailure]) -> Exception:
    """What ended the run: a killed rank leaves no error, and an error comes before those that follow from it."""
    rank = min(failures, key=lambda rank: _order(failures[rank]))
    failure = failures[rank]
    if not Path(failure.error_file).is_file():
        how = f"was killed by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with {failure.exitcode}"
        return RunError(
            f"Rank {rank} {how}, and the others were stopped (out of memory is what kills most). The same command on "
            f"the same run.dir goes on from here."
        )
    message = cast(dict[str, Any], failure.message)  # What the error handler of torch has written, read from JSON.
    kind, _, text = message["message"].partition(": ")
    traceback = message["extraInfo"]["py_callstack"]
    if kind != RunError.__name__:
        return RuntimeError(f"rank {rank} failed\n\n{traceback}")
    error = RunError(text)
    if os.environ.get("ICR_TRACEBACK"):
        error.add_note(traceback)
    return error


def _order(failure: ProcessFailure) -> float:
    """Killed ranks first, then errors as they were met, then those whom the launcher has ended for it."""
    file = Path(failure.error_file)
    if file.is_file():
        return file.stat().st_mtime
    return math.inf if failure.exitcode == -signal.SIGTERM else 0.0


def _check_machine(settings: TrainerSettings) -> None:
    there = {"gpu": torch.cuda.is_available() or torch.backends.mps.is_available()}
    there |= {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(settings.accelerator, True):
        raise ConfigError(
            f"trainer.accelerator={settings.accelerator}: torch {torch.__version__} finds none on this machine. Give "
            f"trainer.accelerator=auto to train on what there is, or see that driver and torch fit the device."
        )
    cores = os.cpu_count() or 1
    if settings.threads and settings.threads > cores:
        raise ConfigError(
            f"trainer.threads={settings.threads}, but this machine has {cores} cores; null leaves it to torch."
        )


def _devices(settings: TrainerSettings, started: int | None) -> int:
    """Devices of this machine that the settings ask for; `started`: processes that a launcher has started on it."""
    cuda = device_of(settings) == "cuda"
    devices = str(settings.devices)
    if devices in ("auto", "-1"):
        return started or (torch.cuda.device_count() if cuda else 1)
    if not cuda and "," in devices:
        raise ConfigError(f"trainer.devices on CPU is a number of processes, got {devices!r}.")
    count = len(_listed(settings)) or int(devices)
    cores = os.cpu_count() or 1
    if not cuda and started is None and count > cores:
        raise ConfigError(
            f"trainer.devices={devices}: on CPU that is the number of processes, and this machine has {cores} cores. "
            f"More processes than cores only wait for each other."
        )
    if cuda and count > torch.cuda.device_count():
        raise ConfigError(f"trainer.devices={devices}, but this machine has {torch.cuda.device_count()} CUDA devices.")
    return count


def _listed(settings: TrainerSettings) -> list[int]:
    """Indices of a list of devices; nothing for a number of them."""
    devices = str(settings.devices)
    return [int(index) for index in re.findall(r"\d+", devices)] if "," in devices else []
