"""What a model behind an endpoint is asked, and what it replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation: who says what."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation that the model is to go on with, and how its reply is decoded.

    Attributes:
        messages: the last is a user's.
        max_tokens: of the reply.
        temperature: 0 is greedy.
        top_logprobs: how many of the likeliest first tokens are wanted with their log-probs; None wants none.
        seed: of sampling; None leaves it to the server.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    top_logprobs: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, or why there is nothing to read.

    Attributes:
        text: as the model wrote it; None where there is none.
        reason: why there is none, in the same few words for all replies that lack it alike; `""` where there is one.
        top_logprobs: log-prob of each of the likeliest first tokens, in nats; empty where the server gives none.
        finish_reason: by the server's word, such as `stop` or `length`.
        model: which model says that it has replied.
        prompt_tokens, completion_tokens: what the server says that it has used; None where it does not.
        cached: whether it came from the cache, and was paid for before.
    """

    text: str | None
    reason: str = ""
    top_logprobs: Mapping[str, float] = field(default_factory=dict)
    finish_reason: str = ""
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that the cache has no reply to.

    Attributes:
        body: as it is sent.
        most: tokens that prompt and reply can have together.
    """

    body: Mapping[str, object]
    most: int
