"""An OpenAI-compatible server that answers by what it is asked, misbehaves on order, and counts."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.faults.replies import Write, says

Misbehaviour = Callable[[int, int], Write | None]
"""Given the number of a request (from 0) and how often the same was sent before, how it is answered; None: honestly."""


class JudgeServer:
    """Counts all that it is asked, and all that it has answered whole.

    Attributes:
        misbehave: how requests are answered.
        seen: bodies of requests, in order.
        headers: of the last request.
        answered: honest answers by body.
        prompt_tokens, completion_tokens: that honest answers said they have used.
        most_at_once: requests that were under way together.
        slow: seconds that an honest answer takes.
        change: changes honest documents.
    """

    def __init__(self) -> None:
        self.misbehave: Misbehaviour = lambda number, before: None
        self.change: Callable[[dict], object] = lambda document: None
        self.seen: list[dict] = []
        self.headers: dict[str, str] = {}
        self.answered: Counter[str] = Counter()
        self.prompt_tokens = self.completion_tokens = self.most_at_once = self.slow = 0
        self.lock, self.under_way = threading.Lock(), 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server.handle(self)

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *arguments: None  # Clients that go away are part of the tests.
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handle(self, handler: Any) -> None:
        """One request."""
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        key = json.dumps(body, sort_keys=True)
        with self.lock:
            number, before = len(self.seen), sum(one == body for one in self.seen)
            self.seen.append(body)
            self.headers = dict(handler.headers)
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
        document = honest(body)
        self.change(document)
        try:
            if handler.path != "/v1/chat/completions":
                return says({"error": {"message": "nothing here"}}, 404)(handler, None)
            if write := self.misbehave(number, before):
                handler.close_connection = True
                return write(handler, document)
            time.sleep(self.slow)
            with self.lock:
                self.answered[key] += 1
                self.prompt_tokens += document["usage"]["prompt_tokens"]
                self.completion_tokens += document["usage"]["completion_tokens"]
            content = json.dumps(document).encode()
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
        finally:
            with self.lock:
                self.under_way -= 1

    def close(self) -> None:
        """Answer nobody any more."""
        self.http.shutdown()
        self.http.server_close()


@contextmanager
def judge_server() -> Iterator[JudgeServer]:
    """A server that runs."""
    server = JudgeServer()
    try:
        yield server
    finally:
        server.close()


def probability(body: dict) -> float:
    """`P(A)` of a request, which its text decides."""
    text = json.dumps(body["messages"], sort_keys=True).encode()
    return 0.05 + 0.9 * int.from_bytes(hashlib.sha256(text).digest()[:4]) / 2**32


def honest(body: dict) -> dict:
    """The whole answer to a request, log-probs where they are asked for."""
    p = probability(body)
    letter = "A" if p > 0.5 else "B"
    top = [{"token": token, "logprob": math.log(0.98 * q)} for token, q in (("A", p), ("B", 1 - p), ("The", 0.01))]
    return {
        "id": "x",
        "object": "chat.completion",
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": letter, "refusal": None},
                "finish_reason": "length",
                "logprobs": {"content": [{"token": letter, "top_logprobs": top}]} if body.get("logprobs") else None,
            }
        ],
        "usage": {"prompt_tokens": sum(len(m["content"]) for m in body["messages"]), "completion_tokens": 1},
    }
