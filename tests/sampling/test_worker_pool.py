"""What the parent of vLLM's processes does when they fail: stand-in workers that speak the protocol, then do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from icr.errors import ConfigError, RunError
from icr.sampling import worker
from icr.sampling.adapter_files import rank_of
from icr.sampling.answers import Request
from icr.sampling.probe import Probe
from icr.sampling.vllm_sampler import VLLMSampler
from icr.sampling.worker import WORKER
from icr.sampling.worker_pool import WorkerPool
from icr.types import Prompt

PROBE = Probe("policy", [[1, 2, 3], [4, 5]], [np.array([-1.0, -2.0]), np.array([-3.0])], 1e-3)
PARAMS = {"n": 2, "max_tokens": 2, "stop_token_ids": []}
REQUESTS = [Request([7] * length, PARAMS, 2**30, f"p{length} (en)") for length in (3, 1, 2, 5)]

WORKER_START = """
import json, os, sys, time
def say(**message): print(json.dumps(message), flush=True)
print("loading", file=sys.stderr)
settings = json.loads(sys.stdin.readline())
"""
ANSWERS = """
say(ready="0")
for line in sys.stdin:
    request = json.loads(line)
    if "prompt_logprobs" in request["params"]:
        say(id=request["id"], prompt_logps=[-1.0, -2.0] if len(request["prompt"]) == 3 else [-3.0])
        continue
    FAULT
    prompt = request["prompt"]
    say(id=request["id"], responses=[[[len(prompt), os.getpid()], "length"]] * request["params"]["n"])
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """`start(script, workers)`: a pool of them; those that stay longer than they should are killed."""
    monkeypatch.setattr(worker, "PATIENCE", 2.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pools = []

    def make(script: str, workers: int = 1, probe: Probe = PROBE) -> WorkerPool:
        file = tmp_path / "worker.py"
        file.write_text(WORKER_START + script)
        pools.append(WorkerPool([sys.executable, str(file)], {"model": "m"}, None, [{}] * workers, probe))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def logs(folder: Path) -> list[Path]:
    return list(folder.glob("icr-vllm-*.log"))


def test_requests_are_shared_out_and_logs_of_success_removed(start, tmp_path):
    pool = start(ANSWERS.replace("FAULT", ""), workers=2)
    answers = dict(pool.generate(REQUESTS))
    assert {index: answer[0][0][0] for index, answer in answers.items()} == {0: 3, 1: 1, 2: 2, 3: 5}
    assert all(len(answer) == 2 for answer in answers.values())
    processes = {
        length: answer[0][0][1] for length, answer in zip((3, 1, 2, 5), map(answers.get, range(4)), strict=True)
    }
    assert processes[5] == processes[2] != processes[3] == processes[1]
    assert len(logs(tmp_path)) == 2
    pool.close()
    assert logs(tmp_path) == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("sys.exit('no such device')", "ended with status 1; its last words: loading no such device"),
        ("os.abort()", "was ended by signal 6; its last words: loading"),
        ("say(error='ValueError: no kernel for this model')", "failed: ValueError: no kernel for this model"),
    ],
)
def test_a_worker_that_does_not_start(start, tmp_path, script, message):
    with pytest.raises(RunError, match=message) as caught:
        start(script)
    (log,) = logs(tmp_path)
    assert str(log) in str(caught.value)
    assert "loading" in log.read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_in_mid_sampling(start, tmp_path, workers):
    pool = start(ANSWERS.replace("FAULT", "os.kill(os.getpid(), 9) if len(request['prompt']) == 2 else None"), workers)
    finished = []
    with pytest.raises(RunError, match="was ended by signal 9") as caught:
        finished += [index for index, _ in pool.generate(REQUESTS)]
    assert "goes on from here" in str(caught.value)
    pool.close()
    assert all(worker.process.poll() is not None for worker in pool.workers)


@pytest.mark.parametrize("script", ["time.sleep(60)", ANSWERS.replace("FAULT", "time.sleep(60)") + "\ntime.sleep(60)"])
def test_a_worker_that_does_not_end_is_killed(start, monkeypatch, script):
    monkeypatch.setattr(worker, "PATIENCE", 0.2)
    started = time.monotonic()
    if script.startswith("time"):
        monkeypatch.setattr(WorkerPool, "_next", lambda pool: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            start(script)
    else:
        start(script).close()
    assert time.monotonic() - started < 10


def test_other_log_probs_are_refused(start):
    other = Probe("policy", PROBE.prompts, [np.array([-1.0, -2.0]), np.array([-3.1])], 1e-3)
    with pytest.raises(RunError, match=r"does not hold the weights of policy.*3 prompt tokens.*0\.033 nats"):
        start(ANSWERS.replace("FAULT", ""), probe=other)


def test_missing_and_undefined_log_probs_are_refused():
    with pytest.raises(RunError, match="did not give the log-prob of each"):
        PROBE.check([[-1.0, -2.0], []], "It")
    with pytest.raises(RunError, match="does not hold"):
        PROBE.check([[-1.0, float("nan")], [-3.0]], "It")
    PROBE.check([[-1.0005, -2.0], [-3.0]], "It")


def test_the_worker_passes_on_what_its_interpreter_lacks():
    """The real script, by an interpreter without vLLM: one line of JSON, and nothing else on its standard output."""
    started = subprocess.run(
        [sys.executable, "-S", str(WORKER)],
        input='{"engine": {}, "adapter": null}\n',
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert started.returncode == 1
    assert started.stdout == '{"error": "ModuleNotFoundError: No module named \'vllm\'"}\n'
    assert "Traceback" in started.stderr


def test_the_worker_ends_where_its_parent_died_as_it_wrote():
    """Half a line is the last one."""
    for written in ("", '{"engine": {}, "adap'):
        started = subprocess.run(
            [sys.executable, "-S", str(WORKER)], input=written, capture_output=True, text=True, check=False, timeout=10
        )
        assert (started.returncode, started.stdout, started.stderr) == (0, "", "")


def test_an_interpreter_without_vllm_is_refused_before_anything_is_loaded(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(ConfigError, match=f"sampling=vllm needs vLLM, which {bare} does not have"):
        VLLMSampler(python=str(bare)).require()
    with pytest.raises(ConfigError, match=r"sampling\.python: there is no interpreter /nowhere/python"):
        VLLMSampler(python="/nowhere/python").require()


def test_more_devices_than_there_are_are_refused(tmp_path, monkeypatch):
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm/__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    VLLMSampler(tensor_parallel_size=2, data_parallel_size=3).require()
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    VLLMSampler(tensor_parallel_size=2, data_parallel_size=2).require()
    with pytest.raises(ConfigError, match="are 6 devices, but there are 4"):
        VLLMSampler(tensor_parallel_size=2, data_parallel_size=3).require()
    monkeypatch.setattr("icr.distributed.size", lambda: 2)
    VLLMSampler().require()
    with pytest.raises(ConfigError, match="Each of the run's 2 processes starts a vLLM of its own"):
        VLLMSampler(data_parallel_size=2).require()


@pytest.fixture
def stand_in(tmp_path) -> Callable[[str], VLLMSampler]:
    """A sampler whose interpreter runs a stand-in, which writes down the settings that it was given."""

    def make(script: str) -> VLLMSampler:
        (tmp_path / "worker.py").write_text(WORKER_START + "json.dump(settings, open('given.json', 'w'))\n" + script)
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\ncd {tmp_path} && exec {sys.executable} worker.py\n")
        python.chmod(0o755)
        return VLLMSampler(n=2, max_new_tokens=1, python=str(python), engine={"max_model_len": 64}, tolerance=100.0)

    return make


SPEAKS = """
say(ready="0")
for line in sys.stdin:
    request = json.loads(line)
    if "prompt_logprobs" in request["params"]:
        say(id=request["id"], prompt_logps=[-5.0] * (len(request["prompt"]) - 1))
    else:
        say(id=request["id"], responses=[[[9], "length"]] * request["params"]["n"])
"""


def test_the_policy_makes_room_while_vllm_runs(stand_in, shared_model, loaded, tmp_path, monkeypatch):
    """Whether it moves is a matter of `offloaded`; when, of the sampler."""
    events = []

    @contextmanager
    def recorded(model):
        events.append("out")
        yield
        events.append("back")

    monkeypatch.setattr("icr.sampling.vllm_sampler.offloaded", recorded)
    policy, sampler = loaded(shared_model()), stand_in(SPEAKS)
    answers = sampler.sample(policy, [Prompt("0", "en", "hi", "hi")], (0,))
    assert [(answer.k, answer.response_ids, answer.finish_reason) for answer in answers] == [
        (0, [9], "length"),
        (1, [9], "length"),
    ]
    assert events == ["out"]
    sampler.release()
    assert events == ["out", "back"]
    given = json.loads((tmp_path / "given.json").read_text())
    assert given["adapter"] is None
    assert given["engine"].items() >= {"model": "tiny", "dtype": "float32", "max_model_len": 64}.items()
    assert given["engine"].items() >= {"generation_config": "vllm", "tensor_parallel_size": 1}.items()


def test_the_policy_comes_back_where_vllm_does_not_start(stand_in, shared_model, loaded, monkeypatch):
    events = []

    @contextmanager
    def recorded(model):
        try:
            yield
        finally:
            events.append("back")

    monkeypatch.setattr("icr.sampling.vllm_sampler.offloaded", recorded)
    with pytest.raises(RunError, match="ended with status 3"):
        stand_in("sys.exit(3)").sample(loaded(shared_model()), [Prompt("0", "en", "hi", "hi")], (0,))
    assert events == ["back"]


def test_each_copy_has_devices_of_its_own(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    policy = torch.device("cuda", 3)
    two = VLLMSampler(tensor_parallel_size=2, data_parallel_size=2)
    assert [two._devices(copy, policy)["CUDA_VISIBLE_DEVICES"] for copy in (0, 1)] == ["0,1", "2,3"]
    assert VLLMSampler()._devices(0, policy) == {"CUDA_VISIBLE_DEVICES": "3"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5,6,4")
    assert [two._devices(copy, policy)["CUDA_VISIBLE_DEVICES"] for copy in (0, 1)] == ["7,5", "6,4"]
    assert VLLMSampler()._devices(0, policy) == {"CUDA_VISIBLE_DEVICES": "4"}


@pytest.mark.parametrize(
    ("config", "rank"), [('{"r": 12}', 16), ('{"r": 8}', 8), ('{"r": 4, "rank_pattern": {"q_proj": 40}}', 64)]
)
def test_the_rank_that_vllm_has_for_an_adapter(tmp_path, config, rank):
    (tmp_path / "adapter_config.json").write_text(config)
    assert rank_of(str(tmp_path)) == rank


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": {"model": "other"}}, r"engine\.model is not for setting"),
        ({"dtype": "float17"}, "dtype must be a torch dtype such as bfloat16, or null"),
        ({"data_parallel_size": 0}, "data_parallel_size must be a whole number of at least 1"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        VLLMSampler(**settings)


def test_launchers_variables_are_not_passed_on(start, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("KEPT", "yes")
    seen = "[int('LOCAL_RANK' in os.environ), int(os.environ['KEPT'] == 'yes')]"
    report = f"say(id=request['id'], responses=[[{seen}, 'length']] * 2); continue"
    ((_, answer),) = start(ANSWERS.replace("FAULT", report)).generate(REQUESTS[:1])
    assert answer == [([0, 1], "length")] * 2
    assert os.environ["LOCAL_RANK"] == "1"
