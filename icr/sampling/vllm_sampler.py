"""Sampling by vLLM in processes of its own, which live as long as a stage samples."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import torch

from icr import distributed
from icr.checks import require_counts
from icr.errors import ConfigError
from icr.models.folder import base_of
from icr.models.loading import LoadedModel
from icr.models.memory import offloaded
from icr.sampling.adapter_files import folder_of, rank_of
from icr.sampling.engine_sampler import EngineSampler
from icr.sampling.probe import Probe
from icr.sampling.worker import WORKER
from icr.sampling.worker_pool import WorkerPool

log = logging.getLogger(__name__)

OURS = ("model", "dtype", "tensor_parallel_size", "data_parallel_size", "enable_lora", "skip_tokenizer_init")
"""Engine arguments that are decided here."""
CPU_ENGINE = {"enforce_eager": True, "enable_chunked_prefill": False}
CPU_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1", "TORCHDYNAMO_DISABLE": "1"}
"""Where there is no GPU, unless the configuration says otherwise: quick to start; and prompts in one piece, since vLLM
0.32 dies of a seed there when it cuts one."""


@dataclass(frozen=True)
class VLLMSampler(EngineSampler):
    """Starts vLLM on the policy's folder, samples, and ends it. Config group `sampling`."""

    python: str | None = field(default=None, compare=False)
    """Interpreter of the environment that has vLLM; None is this one."""
    tensor_parallel_size: int = field(default=1, compare=False)
    """Devices that one copy of the model is cut over."""
    data_parallel_size: int = field(default=1, compare=False)
    """Copies of the model, each on devices of its own; prompts are dealt out to them."""
    engine: dict[str, object] = field(default_factory=dict)
    """More of vLLM's engine arguments, such as `{"gpu_memory_utilization": 0.8}`."""
    env: dict[str, object] = field(default_factory=dict, compare=False)
    """Environment variables of vLLM's processes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "tensor_parallel_size", "data_parallel_size")
        if taken := [name for name in self.engine if name in OURS]:
            raise ValueError(f"engine.{taken[0]} is not for setting: it follows from the run and from other settings")

    def require(self) -> None:
        """See that the interpreter is there and has vLLM, and that there are devices enough.

        Raises:
            ConfigError: saying what is missing and what to do.
        """
        python = self._interpreter()
        if not shutil.which(python):
            raise ConfigError(f"sampling.python: there is no interpreter {python}.")
        find = "import sys, importlib.util; sys.exit(importlib.util.find_spec('vllm') is None)"
        environment = {**os.environ, **self._environment()}
        if subprocess.run([python, "-c", find], env=environment, capture_output=True, check=False).returncode:
            raise ConfigError(
                f"sampling=vllm needs vLLM, which {python} does not have. Install it with `pip install 'icr[vllm]'`, "
                f"or, where it wants other versions than training, in an environment of its own, and name that with "
                f"sampling.python=<environment>/bin/python."
            )
        if distributed.size() > 1 and self.tensor_parallel_size * self.data_parallel_size > 1:
            raise ConfigError(
                f"Each of the run's {distributed.size()} processes starts a vLLM of its own, on its own device: leave "
                f"sampling.tensor_parallel_size and sampling.data_parallel_size at 1, or use sampling=vllm_server."
            )
        wanted, there = self.tensor_parallel_size * self.data_parallel_size, torch.cuda.device_count()
        if there and wanted > there:
            raise ConfigError(
                f"sampling.tensor_parallel_size={self.tensor_parallel_size} times sampling.data_parallel_size="
                f"{self.data_parallel_size} are {wanted} devices, but there are {there}."
            )

    @contextmanager
    def started(self, policy: LoadedModel, probe: Probe) -> Iterator[WorkerPool]:
        """vLLM on the policy's folder. The policy itself makes room on its device meanwhile.

        Raises:
            RunError: it does not start, or computes other log-probs than the policy.
        """
        base = base_of(policy.path)
        engine = {
            "dtype": self.dtype_of(policy),
            "generation_config": "vllm",
            "disable_log_stats": True,
            **({} if torch.cuda.is_available() else CPU_ENGINE),
            **self.engine,
            "model": base or policy.path,
            "tensor_parallel_size": self.tensor_parallel_size,
            "skip_tokenizer_init": True,
        }
        adapter = folder_of(policy.path) if base else None
        if adapter:
            engine |= {"enable_lora": True, "max_lora_rank": rank_of(adapter)}
        log.info("vLLM starts on %s", policy.path)
        environments = [
            self._environment() | self._devices(copy, policy.model.device) for copy in range(self.data_parallel_size)
        ]
        command = [self._interpreter(), str(WORKER)]
        with offloaded(policy.model), closing(WorkerPool(command, engine, adapter, environments, probe)) as pool:
            yield pool

    def _interpreter(self) -> str:
        return self.python or sys.executable

    def _environment(self) -> dict[str, str]:
        # Another interpreter has no use for the packages of this one.
        own = {"PYTHONPATH": "", "PYTHONHOME": ""} if self.python else {}
        own |= {} if torch.cuda.is_available() else CPU_ENVIRONMENT
        return own | {name: str(value) for name, value in self.env.items()}

    def _devices(self, copy: int, policy: torch.device) -> dict[str, str]:
        """The devices of one copy: the policy's own where one is enough, so that each process of a run has another."""
        if not (count := torch.cuda.device_count()):
            return {}
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
        size = self.tensor_parallel_size
        first = (policy.index or 0) if size * self.data_parallel_size == 1 else copy * size
        return {"CUDA_VISIBLE_DEVICES": ",".join(visible.split(",")[first : first + size])}
