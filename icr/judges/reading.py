"""Bodies of replies, which may be anything: read into a `Reply`, or refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from icr.judges.questions import Reply

REFUSED, EMPTY = "refused", "empty reply"


class Malformed(Exception):
    """A body that is no reply: half of one, that of a proxy, or an error under status 200."""


def read(body: bytes) -> Reply:
    """The reply in a body of the chat completions' API.

    Raises:
        Malformed: it holds none; the message says what is wrong, without repeating anything of it.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("no JSON") from error
    choice = _at(_at(document, "choices"), 0)
    message = _at(choice, "message")
    if not isinstance(message, Mapping):
        raise Malformed("no message")
    usage = _at(document, "usage")
    return reply(
        text=_text(message, "content"),
        refusal=_text(message, "refusal"),
        finish_reason=_text(choice, "finish_reason"),
        model=_text(document, "model"),
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        top_logprobs=_first_token(choice),
    )


def reply(*, text: str, refusal: str = "", finish_reason: str = "", **others: Any) -> Reply:
    """A reply, without a text where the model refused, a filter took it, or there is nothing to read."""
    reason = REFUSED if refusal or finish_reason == "content_filter" else "" if text.strip() else EMPTY
    return Reply(None if reason else text, reason, finish_reason=finish_reason, **others)


def _at(value: object, place: str | int) -> object:
    """What an object or a list holds at a place; None where there is no such place."""
    if isinstance(place, str):
        return value.get(place) if isinstance(value, Mapping) else None
    return value[place] if isinstance(value, list) and len(value) > place else None


def _text(value: object, place: str) -> str:
    found = _at(value, place)
    return encodable(found) if isinstance(found, str) else ""


def encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can hold and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


def _count(value: object, place: str) -> int | None:
    found = _at(value, place)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def _first_token(choice: object) -> dict[str, float]:
    """Log-probs of the first token's likeliest alternatives; those of tokens that are written alike add up."""
    alternatives = _at(_at(_at(_at(choice, "logprobs"), "content"), 0), "top_logprobs")
    found: dict[str, list[float]] = {}
    for entry in alternatives if isinstance(alternatives, list) else []:
        token, logprob = _at(entry, "token"), _at(entry, "logprob")
        if isinstance(token, str) and isinstance(logprob, (int, float)) and -math.inf < logprob < 1e-3:
            found.setdefault(encodable(token), []).append(float(logprob))
    return {token: _log_sum(logprobs) for token, logprobs in found.items()}


def _log_sum(logprobs: Sequence[float]) -> float:
    """`log Σ exp`, exact for a single one."""
    most = max(logprobs)
    return most + math.log(math.fsum(math.exp(logprob - most) for logprob in logprobs))
