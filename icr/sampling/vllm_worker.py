"""A vLLM engine at the end of a pipe. Run by its path, with the interpreter of vLLM's environment: icr is not there.

Lines of JSON come in: first `{"engine": <EngineArgs>, "adapter": <folder or null>}`, then any number of
`{"id", "prompt": <token ids>, "params": <SamplingParams>}`, with `"adapted": false` for what the model says without the
adapter. Lines of JSON go out: `{"ready": <version>}`; for each
prompt, as soon as all its responses have ended, `{"id", "responses": [[token ids, finish reason], …], "prompt_logps"}`;
`{"error": <one line>}` before an early end. All other output, vLLM's own too, goes to standard error.

The end of standard input ends the engine and its processes, whatever they are at: a parent that was killed leaves none.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

Requests = queue.SimpleQueue[dict[str, Any] | None]

GRACE = 30.0
"""Seconds that the engine has to end by itself."""


def main() -> int:
    """Serve until standard input ends."""
    # Beside this file are modules of icr, which are not for import here.
    sys.path[:] = [
        path for path in sys.path if os.path.abspath(path or ".") != os.path.dirname(os.path.abspath(__file__))
    ]
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: Requests = queue.SimpleQueue()
    threading.Thread(target=read, args=(requests,), daemon=True).start()
    try:
        if (settings := requests.get()) is not None:
            serve(settings, requests, lambda message: print(json.dumps(message), file=out, flush=True))
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": " ".join(f"{type(error).__name__}: {error}".split())[:2000]}), file=out, flush=True)
        return 1
    return 0


def read(requests: Requests) -> None:
    """Queue the lines of standard input, then None; and see to it that the process ends soon after."""
    with contextlib.suppress(ValueError):  # Half a line, of a parent that was killed as it wrote.
        for line in sys.stdin:
            requests.put(json.loads(line))
    requests.put(None)
    threading.Event().wait(GRACE)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def serve(settings: dict[str, Any], requests: Requests, send: Callable[[dict[str, Any]], None]) -> None:
    """Load the engine, then answer requests in the order in which they are finished."""
    import vllm
    from vllm import EngineArgs, LLMEngine, SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.sampling_params import RequestOutputKind

    engine = LLMEngine.from_engine_args(EngineArgs(**settings["engine"]))
    adapter = LoRARequest("adapter", 1, settings["adapter"]) if settings["adapter"] else None
    send({"ready": vllm.__version__})
    while True:
        while not (engine.has_unfinished_requests() and requests.empty()):
            if (request := requests.get()) is None:
                return
            params = SamplingParams(**request["params"], detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY)
            prompt = {"prompt_token_ids": request["prompt"]}
            own = adapter if request.get("adapted", True) else None
            engine.add_request(request["id"], prompt, params, lora_request=own)
        for output in engine.step():
            if output.finished:
                responses = [[list(sample.token_ids), sample.finish_reason] for sample in output.outputs]
                send({"id": output.request_id, "responses": responses, "prompt_logps": prompt_logps(output)})


def prompt_logps(output: Any) -> list[float] | None:
    """Log-prob of each prompt token but the first, where they were asked for."""
    if output.prompt_logprobs is None:
        return None
    return [
        tokens[id].logprob
        for id, tokens in zip(output.prompt_token_ids[1:], output.prompt_logprobs[1:])  # noqa: B905
    ]


if __name__ == "__main__":
    sys.exit(main())
