"""Runs `icr run` in forked processes, which share the seconds that its imports take, and kills them where told.

Reads one JSON request a line: `arguments`, the `log` file for its output, and optionally `kill`: a `function` by its
dotted path, the number of its `call`, `when` (`before` or `after` it), and the `signal` (9 without one) that it sends
itself; or a number of `seconds` after which it is killed from outside, wherever it is then. With `ranks` above 1 it
starts the command that often, in the environment that torchrun gives, and stops all when one fails; `kill` then says
which `rank`. Answers each with `{"status": …}`, negative for a signal, of the first that ended badly. The product has
no hook for any of this.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
import traceback

import bitsandbytes  # noqa: F401 (shared by the runs that want it)
import peft  # noqa: F401
import torch

import icr.run.job  # noqa: F401
from icr.run.__main__ import main


def serve() -> None:
    """Answer requests until standard input ends."""
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        ranks, port = request["ranks"], _free_port()
        running: dict[int, int] = {}
        for rank in range(ranks):
            pid = os.fork()
            if pid == 0:
                if ranks > 1:
                    os.environ.update(_torchrun(rank, ranks, port))
                _child(request, rank)
            running[rank] = pid
        kill = request.get("kill") or {}
        if "seconds" in kill:
            _kill(running[kill.get("rank", 0)], kill["seconds"])
        print(json.dumps({"status": _wait(set(running.values()))}), flush=True)


def _kill(pid: int, seconds: float) -> None:
    """Kill a child after so long, if it has not ended by then. It is not waited for: its number stays its own."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)


def _wait(running: set[int]) -> int:
    """Status of the first child that ended badly, when all have ended."""
    bad = 0
    while running:
        pid, status = os.waitpid(-1, 0)
        running.discard(pid)
        if not bad and (bad := os.waitstatus_to_exitcode(status)):
            for other in running:
                os.kill(other, signal.SIGKILL)
    return bad


def _torchrun(rank: int, ranks: int, port: int) -> dict[str, str]:
    world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "GROUP_RANK": 0}
    return {name: str(value) for name, value in world.items()} | {
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
    }


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def _child(request: dict, rank: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs ignore it.
    output = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    status = 1
    try:
        kill = request.get("kill") or {}
        if "function" in kill and kill.pop("rank", rank) == rank:
            arm(**kill)
        status = main(request["arguments"])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def arm(function: str, call: int, when: str, signal: int = signal.SIGKILL) -> None:
    """Have this process send itself `signal` before or after the `call`-th call of `function`."""
    owner, name = _resolve(function)
    original = getattr(owner, name)
    calls = 0

    @functools.wraps(original)
    def armed(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call and when == "before":
            os.kill(os.getpid(), signal)
        result = original(*args, **kwargs)
        if calls == call and when == "after":
            os.kill(os.getpid(), signal)
        return result

    setattr(owner, name, armed)


def _resolve(path: str) -> tuple[object, str]:
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:-1]:
            owner = getattr(owner, part)
        return owner, parts[-1]
    raise ModuleNotFoundError(path)


if __name__ == "__main__":
    serve()
