"""Real vLLM, for the tests marked `vllm`: its interpreter, settings for a CPU, tiny models that it takes, servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from icr.models.loading import LoadedModel, Loader

CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1"}
"""What makes a server small and quick to start on a CPU."""

SHAPE = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512}
"""vLLM has no kernel for heads of fewer than 32."""


@pytest.fixture(scope="session")
def vllm_python() -> str:
    """Interpreter of the environment with vLLM."""
    python = os.environ.get("ICR_VLLM_PYTHON")
    if not python:
        pytest.fail("ICR_VLLM_PYTHON is not set; `make test-vllm` makes vLLM's environment and sets it")
    return python


@pytest.fixture(scope="session")
def vllm_rounds(model_folder) -> list[LoadedModel]:
    """Two models that vLLM takes, as of one round and the next."""
    folders = [str(model_folder("llama", seed, **SHAPE)) for seed in (1, 2)]
    return [Loader().load(folder) for folder in folders]


@dataclass
class RunningServer:
    """A vLLM server, in a process group of its own."""

    process: subprocess.Popen
    url: str
    log: Path

    def kill(self) -> None:
        """As the kernel would when memory runs out."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def wait(self, seconds: float = 240) -> None:
        """Until it answers."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.5)
        raise AssertionError(f"no answer in {seconds} s: {self.log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def vllm_server(vllm_python, tmp_path_factory) -> Iterator[Callable[..., RunningServer]]:
    """`vllm_server(folder, *arguments, **environment)`: starts one, which does not answer yet; killed in the end."""
    started: list[RunningServer] = []

    def start(folder: str, *arguments: str, **environment: str) -> RunningServer:
        log = tmp_path_factory.mktemp("servers") / "server.log"
        command = server_command(vllm_python, folder, port := free_port(), arguments)
        own = {**os.environ, "PYTHONPATH": "", **CPU, **environment}
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=own, stdout=output, stderr=output, start_new_session=True)
        started.append(RunningServer(process, f"http://127.0.0.1:{port}", log))
        return started[-1]

    yield start
    for server in started:
        server.kill()


def server_command(python: str, folder: str, port: int, arguments: Sequence[str]) -> list[str]:
    """vLLM's server on a CPU: `vllm serve` looks for a package that the build is not, and seeds need whole prompts."""
    module = ["-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    return [
        python,
        *module,
        "--model",
        folder,
        "--dtype",
        "float32",
        "--enforce-eager",
        "--no-enable-chunked-prefill",
        *arguments,
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
