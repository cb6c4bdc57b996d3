"""What a hostile server, or a broken proxy before an honest one, answers: a table."""

from __future__ import annotations

import copy
import gzip
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Write = Callable[[Any, Any], None]
"""Answers by the handler of a request, given the honest document."""

FOREVER = 20.0
"""Seconds for which a server trickles or is silent: longer than any client here waits."""
SAMPLING, PROBE, MODELS = "/v1/completions", "/v1/completions probe", "/v1/models"
RELOAD, RESET = "/collective_rpc", "/reset_prefix_cache"


@dataclass(frozen=True)
class Reply:
    """One hostile answer.

    Attributes:
        to: the request that is answered with it.
        write: answers.
        refused: a pattern in the words with which a run ends; empty where it asks again, and ends as it should.
    """

    to: str
    write: Write
    refused: str = ""


def raw(*parts: bytes) -> Write:
    """These bytes, and the end of the connection."""
    return lambda handler, document: handler.wfile.write(b"".join(parts))


def http(body: bytes, status: int = 200, **headers: str) -> Write:
    """An answer that HTTP has nothing against."""
    head = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    head |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return raw(f"HTTP/1.1 {status} Anything\r\n{lines}\r\n".encode(), body)


def says(document: object, status: int = 200) -> Write:
    """A document in JSON."""
    return http(json.dumps(document).encode(), status)


def changed(change: Callable[[Any], object]) -> Write:
    """The honest document after `change`."""

    def write(handler: Any, document: Any) -> None:
        document = copy.deepcopy(document)
        change(document)
        says(document)(handler, None)

    return write


def choice(**values: object) -> Write:
    """The honest document, with these values in one of its responses; those that are `...` are missing there."""

    def change(document: Any) -> None:
        for name, value in values.items():
            if value is ...:
                del document["choices"][0][name]
            else:
                document["choices"][0][name] = value

    return changed(change)


def ids(change: Callable[[list[int]], object]) -> Write:
    """The honest document, with other token ids in one of its responses."""

    def own(document: Any) -> None:
        response = document["choices"][0]
        response["token_ids"] = change(response["token_ids"])

    return changed(own)


def nested(depth: int) -> list:
    """Lists in lists."""
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def logps(value: object) -> Write:
    """The honest log-probs of a prompt, but for one."""

    def change(document: Any) -> None:
        for candidate in document["choices"][0]["prompt_logprobs"][1].values():
            candidate["logprob"] = value

    return changed(change)


def trickled(head: bytes, piece: bytes) -> Write:
    """A piece now and then, for ever: each read succeeds, and the answer never ends."""

    def write(handler: Any, document: Any) -> None:
        handler.wfile.write(head)
        until = time.monotonic() + FOREVER
        while time.monotonic() < until:
            handler.wfile.write(piece)
            time.sleep(0.05)

    return write


def endless(handler: Any, document: Any) -> None:
    """As many bytes as the other side takes."""
    handler.wfile.write(CHUNKED)
    until = time.monotonic() + FOREVER
    while time.monotonic() < until:
        handler.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def silent(handler: Any, document: Any) -> None:
    """Nothing, until the other side has gone."""
    handler.connection.settimeout(FOREVER)
    handler.connection.recv(1)


def reset(handler: Any, document: Any) -> None:
    """The connection torn down."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HTML = b"<html><body>502 Bad Gateway</body></html>"
JSON = b'{"choices": []}'
NESTED = b"[" * 100_000 + b"]" * 100_000

TRANSIENT = {
    "a page": http(HTML),
    "a page of status 502": http(HTML, 502),
    "status 500": says({"error": "EngineDeadError"}, 500),
    "status 503": http(b"", 503),
    "status 504": http(b"upstream timed out", 504),
    "status 429": says({"error": {"message": "slow down"}}, 429),
    "status 408": http(b"", 408),
    "status 404": says({"error": {"message": "no such model"}}, 404),
    "nothing": http(b""),
    "half the JSON": http(b'{"choices": [{"index": 0, "tok'),
    "fewer bytes than said": http(b'{"choices": [', Content_Length="1000"),
    "fewer chunks than said": raw(CHUNKED, b'10\r\n{"choices":'),
    "a chunk of no length": raw(CHUNKED, b"many\r\n", JSON),
    "gzip that is none": http(JSON, Content_Encoding="gzip"),
    "half the gzip": http(gzip.compress(JSON * 99)[:40], Content_Encoding="gzip"),
    "gzip of zeros without end": http(gzip.compress(bytes(2**23)), Content_Encoding="gzip"),
    "an unknown compression": http(b"\x1b\x83\x11", Content_Encoding="zzz"),
    "bytes without end": endless,
    "a body that trickles": trickled(CHUNKED, b"1\r\n \r\n"),
    "headers that trickle": trickled(OK, b"X-A: 1\r\n"),
    "a status line that trickles": trickled(b"HTTP/1.1 200 ", b"O"),
    "silence": silent,
    "the end": raw(),
    "a reset": reset,
    "half a status line": raw(b"HTTP/1.1 2"),
    "no HTTP": raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9),
    "a negative length": http(JSON, Content_Length="-1"),
    "two lengths": raw(OK, b"Content-Length: 1\r\nContent-Length: 9\r\n\r\n", JSON),
    "headers without end": raw(OK, b"X-A: " + b"a" * 300_000),
    "bytes that are not UTF-8": http(b'{"choices": "\xff\xfe"}'),
    "a number of 5000 digits": http(b'{"choices": [{"token_ids": [' + b"9" * 5000 + b"]}]}"),
    "nesting without end": http(NESTED),
    "an abortion": choice(finish_reason="abort"),
}
"""What another try may mend: a proxy could have made it, or an engine that is being restarted."""

WRONG = {
    "null": (says(None), "what vLLM does not say there: None"),
    "a list": (says([1, 2]), "does not say there"),
    "a string": (says("ok"), "does not say there: ok"),
    "a number": (http(b"1e999"), "does not say there: inf"),
    "no choices": (says({}), "does not say there"),
    "choices that are null": (says({"choices": None}), "does not say there"),
    "choices that are numbers": (says({"choices": [1, 2, 3]}), "does not say there"),
    "an error of status 200": (says({"object": "error", "message": "too long"}), "does not say there: .*too long"),
    "no responses": (says({"choices": []}), "prompt .* with 0 responses, where 3 were asked for"),
    "a response too few": (changed(lambda d: d["choices"].pop(0)), "with 2 responses, where 3 were asked for"),
    "a response too many": (
        changed(lambda d: d["choices"].append({**d["choices"][0], "index": 3})),
        "with 4 responses, where 3 were asked for",
    ),
    "an index twice": (choice(index=1), "indices"),
    "an index beyond": (choice(index=7), "indices"),
    "no index": (choice(index=...), "indices"),
    "an index that is a word": (choice(index="0"), "indices"),
    "an index that is true": (choice(index=True), "indices"),
    "no finish reason": (choice(finish_reason=...), "not token ids with a finish reason"),
    "a finish reason of null": (choice(finish_reason=None), "not token ids with a finish reason"),
    "a finish reason of its own": (choice(finish_reason="tired"), "for the reason 'tired'"),
    "a finish reason that is a list": (choice(finish_reason=["stop"]), "not token ids with a finish reason"),
    "no token ids": (choice(token_ids=...), "does not give token ids"),
    "token ids of null": (choice(token_ids=None), "does not give token ids"),
    "token ids that are text": (choice(token_ids="1 2 3"), "not token ids with a finish reason"),
    "token ids that are words": (ids(lambda ids: list(map(str, ids))), "not token ids with a finish reason"),
    "token ids with a fraction": (ids(lambda ids: [id + 0.5 for id in ids]), "not token ids with a finish reason"),
    "token ids that are NaN": (ids(lambda ids: [float("nan")] * len(ids)), "not token ids with a finish reason"),
    "token ids that are true": (ids(lambda ids: [True] * len(ids)), "not token ids with a finish reason"),
    "token ids in lists": (ids(lambda ids: [[id] for id in ids]), "not token ids with a finish reason"),
    "no tokens": (ids(lambda ids: []), "with an empty response"),
    "a negative token id": (ids(lambda ids: [-1, *ids[1:]]), "the token id -1, where the policy has 262 tokens"),
    "a token id beyond": (ids(lambda ids: [262, *ids[1:]]), "the token id 262, where the policy has 262 tokens"),
    "a token id of 2⁷⁰": (ids(lambda ids: [2**70, *ids[1:]]), "where the policy has 262 tokens"),
    "a token id of 4000 digits": (ids(lambda ids: [10**4000, *ids[1:]]), "where the policy has 262 tokens"),
    "5001 tokens": (ids(lambda ids: [9] * 5001), "5001 tokens, where at most sampling.max_new_tokens=5 were"),
    "a stop id inside": (ids(lambda ids: [9, 2, 9, 9, 9]), "a response that goes on after the stop id 2"),
    "too few tokens": (choice(token_ids=[9, 9], finish_reason="length"), "neither one of the stop ids"),
    "a stop without a stop id": (choice(token_ids=[9] * 5, finish_reason="stop"), "neither one of the stop ids"),
    "a stop id for its length": (choice(token_ids=[9, 2], finish_reason="length"), "neither one of the stop ids"),
    "nesting that can just be read": (ids(lambda ids: nested(900)), "not token ids with a finish reason"),
    "a document nested so": (says(nested(900)), "does not say there"),
    "another prompt": (choice(prompt_token_ids=[1, 2]), "changed the token ids of prompt"),
    "status 400": (says({"error": {"message": "no"}}, 400), "refuses a request with status 400: no"),
    "status 401": (http(b"", 401), "refuses a request with status 401"),
    "status 403": (http(HTML, 403), "refuses a request with status 403: <html>"),
    "status 422": (says({"detail": [{"loc": ["body"]}]}, 422), "refuses a request with status 422"),
    "status 204": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), "refuses a request with status 204"),
    "an error about an error": (says({"error": {"message": {"error": [None]}}}, 400), "status 400"),
    "an error that moves the cursor": (http(b"\x1b[2J\x07 gone", 400), r"status 400: \[2J gone$"),
}
"""What no other try mends: whoever speaks JSON has understood the question."""

REPLIES = (
    {f"sampling: {name}": Reply(SAMPLING, write) for name, write in TRANSIENT.items()}
    | {f"sampling: {name}": Reply(SAMPLING, *wrong) for name, wrong in WRONG.items()}
    | {f"{to}: a page": Reply(to, http(HTML)) for to in (PROBE, MODELS, RELOAD, RESET)}
    | {f"{to}: silence": Reply(to, silent) for to in (PROBE, MODELS, RELOAD, RESET)}
    | {
        "probe: NaN": Reply(PROBE, logps(float("nan")), "does not hold the weights"),
        "probe: −inf": Reply(PROBE, logps(float("-inf")), "does not hold the weights"),
        "probe: 1e308": Reply(PROBE, logps(1e308), "does not hold the weights"),
        "probe: an integer of 4000 digits": Reply(PROBE, logps(-(10**4000)), "did not give the log-prob of each"),
        "probe: null": Reply(PROBE, logps(None), "did not give the log-prob of each prompt token"),
        "probe: a word": Reply(PROBE, logps("-1.0"), "did not give the log-prob of each prompt token"),
        "probe: true": Reply(PROBE, logps(True), "did not give the log-prob of each prompt token"),
        "probe: too few": Reply(
            PROBE, changed(lambda d: d["choices"][0]["prompt_logprobs"].pop()), "did not give the log-prob of each"
        ),
        "probe: none": Reply(
            PROBE, changed(lambda d: d["choices"][0].pop("prompt_logprobs")), "did not give the log-prob"
        ),
        "probe: rows that are numbers": Reply(
            PROBE,
            changed(lambda d: d["choices"][0].update(prompt_logprobs=[1] * len(d["choices"][0]["prompt_logprobs"]))),
            "did not give the log-prob of each",
        ),
        "probe: no choices": Reply(PROBE, says({"choices": []}), "does not say there"),
        "models: null": Reply(MODELS, says(None), "answers /v1/models with what vLLM does not say there"),
        "models: no data": Reply(MODELS, says({}), "answers /v1/models with what vLLM does not say there"),
        "models: none": Reply(MODELS, says({"data": []}), "serves no model"),
        "models: without names": Reply(MODELS, says({"data": [{"root": "/"}]}), "does not say there"),
        "models: with numbers for names": Reply(MODELS, says({"data": [{"id": 1}]}), "does not say there"),
        "models: status 401": Reply(MODELS, says({"error": "Unauthorized"}, 401), "status 401: Unauthorized"),
        "reload: status 400": Reply(RELOAD, says({"error": "no"}, 400), r"cannot load .* \(status 400: no\)"),
        "reload: status 500": Reply(RELOAD, says({"error": "no"}, 500)),
        "reset: no success": Reply(RESET, says({"success": False})),
        "reset: status 404": Reply(RESET, http(b"", 404)),
    }
)
