"""Hostile workers: whatever comes through the pipe of a vLLM process, the run ends in words, and soon."""

from __future__ import annotations

import sys
import time
from contextlib import closing

import numpy as np
import psutil
import pytest

from icr.errors import RunError
from icr.sampling import worker
from icr.sampling.answers import Request
from icr.sampling.probe import Probe
from icr.sampling.worker_pool import WorkerPool

CAMPAIGN = "hostile workers"
PROBE = Probe("policy", [[1, 2, 3], [4, 5]], [np.array([-1.0, -2.0]), np.array([-3.0])], 1e-3)
REQUESTS = [
    Request([7] * length, {"n": 2, "max_tokens": 4, "stop_token_ids": [2]}, 100, f"p{length} (en)")
    for length in (3, 1, 2, 5)
]

HONEST = """
import json, os, sys, time
def say(**message): print(json.dumps(message), flush=True)
def write(text): sys.stdout.write(text); sys.stdout.flush()
print("loading", file=sys.stderr)
settings = json.loads(sys.stdin.readline())
START
say(ready="0")
for line in sys.stdin:
    request = json.loads(line)
    id, prompt = request["id"], request["prompt"]
    if "prompt_logprobs" in request["params"]:
        logps = [-1.0, -2.0] if len(prompt) == 3 else [-3.0]
        PROBE
        say(id=id, prompt_logps=logps)
        continue
    responses = [[[9, 9, 2], "stop"], [[9, 9, 9, 9], "length"]]
    if len(prompt) == 2:
        SAMPLING
    say(id=id, responses=responses)
"""
"""A worker that does as it should but for what is put in the place of a word."""

DEAD, STRANGE = "was ended by signal 9", "which is not what was asked for"
SAMPLING = {
    "a line that is no JSON": ("print('INFO 07-01 loading', flush=True)", "it says 'INFO 07-01 loading', which is not"),
    "an empty line": ("print(flush=True)", STRANGE),
    "half a line, and the end": (
        'write(\'{"id": "2", "resp\'); sys.exit()',
        "ended with status 0 in the middle of the",
    ),
    "half a line, and death": ('write(\'{"id": "2"\'); os.kill(os.getpid(), 9)', f"{DEAD} in the middle of the line"),
    "death": ("os.kill(os.getpid(), 9)", DEAD),
    "the end": ("sys.exit()", "ended with status 0"),
    "the end of its output alone": ("os.close(1); time.sleep(60)", "it closed its output"),
    "bytes that are not UTF-8": ("sys.stdout.buffer.write(b'\\xff\\xfe\\n'); sys.stdout.flush()", STRANGE),
    "a line without end": ("write('x' * 300_000); time.sleep(60)", STRANGE),
    "a null": ("print('null', flush=True)", STRANGE),
    "a list": ("print('[1]', flush=True)", STRANGE),
    "nesting without end": ("print('[' * 100_000, flush=True)", STRANGE),
    "a number of 5000 digits": ("print('9' * 5000, flush=True)", STRANGE),
    "no more reading": ("print('?', flush=True); time.sleep(60)", STRANGE),
    "an error": ("say(error='CUDA out of memory')", "failed: CUDA out of memory"),
    "an error that is a list": ("say(error=[None])", r"failed: \[None\]"),
    "an error that moves the cursor": ("say(error='\\x1b[2J gone')", r"failed: \[2J gone"),
    "readiness again": ("say(ready='0')", STRANGE),
    "an answer to nothing": ("id = '77'", STRANGE),
    "an answer to a number": ("id = 2", STRANGE),
    "an answer twice": ("say(id=id, responses=responses)", STRANGE),
    "no responses": ("say(id=id); continue", STRANGE),
    "responses of null": ("responses = None", STRANGE),
    "too few responses": ("responses.pop()", "with 1 responses, where 2 were asked for"),
    "a response without a reason": ("responses[0].pop()", "not token ids with a finish reason"),
    "a response of null": ("responses[0] = None", "not token ids with a finish reason"),
    "token ids that are words": ("responses[0][0] = ['9', '2']", "not token ids with a finish reason"),
    "a token id beyond": ("responses[0][0][0] = 100", "the token id 100, where the policy has 100 tokens"),
    "a negative token id": ("responses[0][0][0] = -1", "the token id -1, where the policy has 100 tokens"),
    "a stop id inside": ("responses[0][0][0] = 2", "goes on after the stop id 2"),
    "no tokens": ("responses[0][0] = []", "with an empty response"),
    "5001 tokens": ("responses[1][0] = [9] * 5001", "5001 tokens, where at most sampling.max_new_tokens=4"),
    "a reason of its own": ("responses[0][1] = 'abort'", "for the reason 'abort'"),
}
PROBES = {
    "no log-probs": ("logps = None", "did not give the log-prob"),
    "words for log-probs": ("logps = ['-1.0'] * len(logps)", "did not give the log-prob"),
    "a log-prob too few": ("logps.pop()", "did not give the log-prob"),
    "NaN": ("logps[0] = float('nan')", "does not hold the weights"),
    "death": ("os.kill(os.getpid(), 9)", DEAD),
    "another id": ("id = '0'", STRANGE),
}
STARTS = {
    "no JSON": ("print('Traceback', flush=True)", STRANGE),
    "an answer": ("say(id='0', responses=[])", STRANGE),
    "half a line, and death": ("write('{\"rea'); os.kill(os.getpid(), 9)", DEAD),
    "death": ("os.kill(os.getpid(), 9)", DEAD),
}
CASES = {
    f"{where.lower()}: {name}": (where, *case)
    for where, cases in {"SAMPLING": SAMPLING, "PROBE": PROBES, "START": STARTS}.items()
    for name, case in cases.items()
}
SAMPLE = {
    "sampling: a line that is no JSON",
    "sampling: half a line, and death",
    "sampling: no more reading",
    "sampling: a token id beyond",
    "probe: no log-probs",
}
"""Those that are tried by `make test`."""


def sample(command: list[str], workers: int, requests: list[Request]) -> None:
    """Two parts of a run: an answer too many is seen by the second."""
    with closing(WorkerPool(command, {"model": "m"}, None, [{}] * workers, PROBE)) as pool:
        for _ in range(2):
            list(pool.generate(requests))


@pytest.mark.parametrize(
    ("where", "fault", "words"),
    [pytest.param(*case, id=name, marks=[] if name in SAMPLE else pytest.mark.faults) for name, case in CASES.items()],
)
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.faults)])
def test_hostile_workers(tmp_path, monkeypatch, where, fault, words, workers, count):
    """Of one or two workers, each of which may do it; none is left."""
    count(CAMPAIGN, "refused in words")
    monkeypatch.setattr(worker, "PATIENCE", 0.5)
    monkeypatch.setattr(worker, "LONGEST", 200_000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = HONEST.replace(where, fault)
    for other in ("START", "PROBE", "SAMPLING"):
        script = script.replace(other, "pass")
    (tmp_path / "worker.py").write_text(script)
    started = time.monotonic()
    many = [*REQUESTS, *REQUESTS * 200] if "time.sleep" in fault else REQUESTS
    command = [sys.executable, str(tmp_path / "worker.py")]
    with pytest.raises(RunError, match=words) as caught:
        sample(command, workers, many)
    assert [child for child in psutil.Process().children() if command[1] in child.cmdline()] == []
    message = str(caught.value)
    assert len(message) < 1000
    assert message.isprintable()
    assert time.monotonic() - started < 10
