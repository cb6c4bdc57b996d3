"""Runs of the whole program, and the tiny models that they start from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.e2e import tiny

ROOT = Path(__file__).parents[2]
CONTEXT = 2048


def environment() -> dict[str, str]:
    """Of a process that runs the checkout's package, offline, on one thread."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_HUB_OFFLINE"), "1")
    return {**os.environ, **one, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


@dataclass
class Finished:
    """A run that ended, in one way or another."""

    status: int
    output: str
    directory: Path

    def summary(self) -> dict[str, Any]:
        """`summary.json`."""
        return json.loads((self.directory / "summary.json").read_text())

    def stages(self) -> dict[str, Any]:
        """Complete stages, from the manifest."""
        return json.loads((self.directory / "manifest.json").read_text())["stages"]

    def table(self, name: str) -> pd.DataFrame:
        """`<name>.parquet`."""
        return pd.read_parquet(self.directory / f"{name}.parquet")


class Program:
    """`icr.run`, each call a process of its own."""

    def __init__(self, logs: Path):
        self.logs = logs
        self.count = 0
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, directory: Path, arguments: Sequence[str], kill: dict | None = None, ranks: int = 1) -> Finished:
        """Run in `directory`, to the end or to the place of the kill, in as many processes as torchrun would start."""
        self.count += 1
        log = self.logs / f"{self.count}.log"
        request = {"arguments": [*arguments, f"run.dir={directory}"], "log": str(log), "kill": kill, "ranks": ranks}
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        status = json.loads(self.server.stdout.readline())["status"]
        return Finished(status, log.read_text(), directory)

    def ok(self, directory: Path, arguments: Sequence[str], ranks: int = 1) -> Finished:
        """A run that has to end well."""
        finished = self(directory, arguments, ranks=ranks)
        assert finished.status == 0, finished.output
        return finished

    def close(self) -> None:
        """End the server."""
        self.server.stdin.close()
        self.server.wait(timeout=60)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Runs the program."""
    program = Program(tmp_path_factory.mktemp("logs"))
    yield program
    program.close()


@pytest.fixture(scope="session")
def pocket_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two models of the embedded world's configuration with random weights: policy and reference."""
    folder = tmp_path_factory.mktemp("pocket")
    return tiny.pocket_model(folder / "policy", 1), tiny.pocket_model(folder / "reference", 2)


@pytest.fixture(scope="session")
def byte_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two byte-level models: policy and reference."""
    folder = tmp_path_factory.mktemp("bytes")
    return tiny.byte_llama(folder / "policy", 1, context=CONTEXT), tiny.byte_llama(
        folder / "reference", 2, context=CONTEXT
    )


@pytest.fixture(scope="session")
def shared_prompts() -> str:
    """The real parallel prompts, where this machine has them."""
    shared = Path(os.environ.get("ICR_SHARED_DATA") or ROOT.parent / "shared" / "data")
    folder = shared / "ultrafeedback_parallel"
    if not folder.is_dir():
        pytest.skip(f"real prompts: neither $ICR_SHARED_DATA nor {folder} is there")
    return str(folder)
