"""A server that speaks as much of vLLM's protocol as is used, with a transformers model behind it, and faults on order.

It holds weights, loads others when told to, and computes all it answers with them: what is wrong with it shows.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import torch

from icr.logps import score
from icr.models.loading import LoadedModel
from icr.sampling.decode import decode
from icr.sampling.transformers_sampler import _uniforms


class StandInServer:
    """Serves `models[held]` on a port of its own.

    Attributes:
        models: weights by the path that they are loaded from.
        held: path of those that it holds; `root` is what it says it was started on.
        development: whether weights can be reloaded.
        deaf: whether it only says that it has reloaded them.
        faults: what befalls the next completions: a status, `drop`, `half`, `restart`, or None for nothing.
        tamper: given a request's handler and body, and the status and document of its answer, answers otherwise if it
            likes to, and says whether it has.
        context: most tokens of prompt and response; longer responses are cut there, as vLLM does.
        paths: how often each path was asked for.
    """

    def __init__(self, models: Mapping[str, LoadedModel], held: str, *, development: bool = True, key: str = ""):
        self.models, self.held, self.root, self.development, self.key = models, held, held, development, key
        self.faults: list[Any] = []
        self.tamper: Callable[[Handler, Mapping[str, Any], int, Any], bool] = lambda *request: False
        self.context, self.with_token_ids = 10_000, True
        self.paths: Counter[str] = Counter()
        self.adapters: dict[str, str] = {}
        self.stale_prefixes = self.deaf = False
        self.lock = threading.Lock()
        self.http = Quiet(("127.0.0.1", 0), type("Handler", (Handler,), {"stand_in": self}))
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def stop(self) -> None:
        """Answer nobody any more."""
        self.http.shutdown()
        self.http.server_close()

    def reply(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Status and document."""
        name = path.partition("?")[0]
        if name == "/v1/models":
            cards = [{"id": "served", "root": self.root, "parent": None}]
            return 200, {
                "data": [*cards, *({"id": k, "root": v, "parent": "served"} for k, v in self.adapters.items())]
            }
        if name == "/v1/completions":
            return self.complete(body)
        if name == "/v1/load_lora_adapter":
            self.adapters[body["lora_name"]] = body["lora_path"]
            return 200, "loaded"
        if name == "/v1/unload_lora_adapter":
            return (200, "gone") if self.adapters.pop(body["lora_name"], None) else (404, {"error": "no such adapter"})
        if name == "/collective_rpc" and self.development:
            assert body["method"] == "reload_weights"
            if (weights := body["kwargs"]["weights_path"]) not in self.models:
                return 400, {"error": {"message": f"no {weights}"}}
            if not self.deaf:
                self.held, self.stale_prefixes = weights, True
            return 200, {"results": [None]}
        if name == "/reset_prefix_cache" and self.development:
            self.stale_prefixes = False
            return 200, {"success": True}
        return 404, {"detail": "Not Found"}

    def complete(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Tokens drawn as `TransformersSampler` does, by the request's seed."""
        if body["model"] not in ("served", *self.adapters):
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
        policy = self.models[self.adapters.get(body["model"], self.held)]
        ids = body["prompt"]
        if body.get("prompt_logprobs") is not None:
            values = score(policy.model, [(ids[:1], ids[1:])], tokens_per_batch=1000)[0]
            rows = [None, *({str(id): {"logprob": float(v)}} for id, v in zip(ids[1:], values, strict=True))]
            return 200, {"choices": [{"index": 0, "prompt_logprobs": rows}]}
        assert not self.stale_prefixes
        limit = min(body["max_tokens"], self.context - len(ids))
        uniforms = np.stack([_uniforms((body["seed"] + k,), limit) for k in range(body["n"])])[None]
        stops = frozenset(body["stop_token_ids"])
        settings = {"temperature": body["temperature"], "top_p": body["top_p"], "top_k": body["top_k"] or None}
        with self.lock, torch.inference_mode():
            (answers,) = decode(policy.model, [ids], uniforms, stop_ids=stops, **settings)
        choices = [
            {"index": k, "finish_reason": "stop" if tokens[-1] in stops else "length"}
            | ({"token_ids": tokens, "prompt_token_ids": ids} if self.with_token_ids else {})
            for k, tokens in enumerate(answers)
        ]
        return 200, {"choices": choices[::-1]}


class Quiet(ThreadingHTTPServer):
    """Says nothing about clients that hang up."""

    daemon_threads = True

    def handle_error(self, *args: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*args)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    stand_in: StandInServer

    def do_GET(self) -> None:
        self.answer({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        if len(raw) == length:  # Else the client has hung up.
            self.answer(json.loads(raw or b"{}"))

    def answer(self, body: Mapping[str, Any]) -> None:
        server = self.stand_in
        with server.lock:
            server.paths[self.path.partition("?")[0]] += 1
            sampling = self.path == "/v1/completions" and "seed" in body
            fault = server.faults.pop(0) if sampling and server.faults else None
        if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
            return self.send(401, {"error": "Unauthorized"})
        if fault == "drop":
            self.close_connection = True
            return None
        if fault == "restart":  # With the weights that it was started with, and no adapter.
            server.held, server.adapters = server.root, {}
            self.close_connection = True
            return None
        if isinstance(fault, int):
            return self.send(fault, {"error": {"message": "as ordered"}})
        status, document = server.reply(self.path, body)
        if server.tamper(self, body, status, document):
            self.close_connection = True
            return None
        return self.send(status, document, half=fault == "half")

    def send(self, status: int, document: Any, half: bool = False) -> None:
        raw = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw[: len(raw) // 2] if half else raw)
        self.close_connection = self.close_connection or half

    def log_message(self, *args: Sequence) -> None:
        """Not on the terminal."""
