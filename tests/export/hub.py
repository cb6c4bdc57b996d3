"""A hub on this machine that takes what `huggingface_hub` sends: login, repository, files in one commit."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_not-to-be-seen"


class Hub(ThreadingHTTPServer):
    """Keeps what it was sent.

    Attributes:
        created: bodies of the requests that made a repository.
        files: content by path, as committed.
        asked: method and path of each request.
        refuses: part of the paths that are answered with an error.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.created: list[dict] = []
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.refuses = "nothing"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self._seen()
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid credentials"}, 401)
        return self._answer(
            {"name": "me", "type": "user"} if "whoami" in self.path else {"sha": "0" * 40, "id": "me/m"}
        )

    def do_POST(self) -> None:
        self._seen()
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.server.refuses in self.path:
            return self._answer({"error": "not today"}, 403)
        if self.path.endswith("/repos/create"):
            self.server.created.append(json.loads(body))
            return self._answer({"url": f"{self.server.address}/me/m", "id": "me/m", "name": "me/m"})
        if self.path.endswith("/validate-yaml"):
            return self._answer({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            return self._answer(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
            )
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self._answer(
                {"success": True, "commitOid": "1" * 40, "commitUrl": f"{self.server.address}/me/m/commit/{'1' * 40}"}
            )
        return self._answer({"error": f"no {self.path}"}, 404)

    def _seen(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")

    def _answer(self, content: dict, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Nothing on the terminal."""


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that runs until the block ends."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
