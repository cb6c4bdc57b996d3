"""An OpenAI-compatible endpoint, and how its model is asked."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from icr.checks import require_counts, require_integer, require_number
from icr.errors import ConfigError, JudgeError
from icr.judges.ledger import Ledger
from icr.judges.questions import Pending, Question, Reply
from icr.judges.reading import encodable
from icr.judges.replies import Damaged, ReplyCache, digest
from icr.judges.spending import Spending
from icr.progress import Update, progress
from icr.rundir import atomic
from icr.sampling.addresses import key_of, require_address

log = logging.getLogger(__name__)

Body: TypeAlias = dict[str, object]

OWN = {"model", "messages", "n", "stream"}
"""Fields of a request that are not to be replaced: they are settings already, or change what a reply is."""


@dataclass(frozen=True)
class Endpoint:
    """A model behind an OpenAI-compatible server.

    What a reply depends on is in the keys of stages and of the cache: the model's name, `revision` and `extra`, and all
    that a `Question` holds. Where the model is served changes nothing.

    Raises:
        ValueError: a setting is out of range, or the address cannot be one.
    """

    model: str
    """Its name, a dated one where there is one."""
    base_url: str = field(compare=False)
    """Where it is served, such as `http://localhost:8000/v1`."""
    cache: str = field(compare=False)
    """Folder in which replies are kept, for this and every other run."""
    key_env: str | None = field(default=None, compare=False)
    """Environment variable that holds the key; None sends none."""
    revision: str | None = None
    """What sets two models of one name apart, such as the commit of open weights."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """Further fields of each request, by the server's names."""
    answers_as: Sequence[str] = field(default=(), compare=False)
    """Other names under which the server may say that this model has replied."""
    concurrency: int = field(default=16, compare=False)
    """Requests at a time."""
    retries: int = field(default=6, compare=False)
    """How often a request that failed is repeated."""
    backoff: float = field(default=1.0, compare=False)
    """Seconds before the first repetition, which double with each, up to a minute."""
    timeout: float = field(default=120.0, compare=False)
    """Seconds that a whole exchange may take."""
    max_requests: int | None = field(default=None, compare=False)
    """Budget of requests, repeated ones included; None is none."""
    max_tokens: int | None = field(default=None, compare=False)
    """Budget of tokens, of prompts and replies together; None is none."""
    prompt_price: float | None = field(default=None, compare=False)
    """Price of a million prompt tokens; None where it is not known."""
    completion_price: float | None = field(default=None, compare=False)
    """Price of a million tokens of replies; None where it is not known."""

    def __post_init__(self) -> None:
        require_counts(self, "concurrency")
        require_integer("retries", self.retries)
        for name in ("retries", "backoff"):
            require_number(name, getattr(self, name), least=0)
        require_number("timeout", self.timeout, above=0)
        for name in ("max_requests", "max_tokens"):
            if getattr(self, name) is not None:
                require_counts(self, name, otherwise="or null")
        for name in ("prompt_price", "completion_price"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name), least=0, otherwise="or null")
        if not self.model.strip() or not self.cache.strip():
            raise ValueError(f"{'cache' if self.model.strip() else 'model'} must not be empty")
        if taken := OWN & self.extra.keys():
            raise ValueError(f"extra must not hold {', '.join(sorted(taken))}, which is said elsewhere")
        require_address("base_url", self.base_url)

    def require(self) -> None:
        """Refuse what is sure to fail, before a model is loaded. Nothing is sent.

        Raises:
            ConfigError: the openai package or the key is missing, or the cache's folder cannot be written.
        """
        if importlib.util.find_spec("openai") is None:
            raise ConfigError("judge: asking an endpoint needs openai, which is missing: pip install 'icr[openai]'.")
        self._key()
        try:
            atomic.make_folder(self._replies.folder)
        except OSError as error:
            raise ConfigError(f"judge.endpoint.cache={self.cache} cannot be made: {error}.") from error
        if not os.access(self._replies.folder, os.W_OK | os.X_OK):
            raise ConfigError(f"judge.endpoint.cache={self.cache} cannot be written to.")

    def ask(self, questions: Sequence[Question], what: str) -> list[Reply]:
        """One reply per question, in order; a question that comes twice, or has a reply in the cache, is not asked.

        Args:
            what: names the work in its progress bar, which counts what has to be asked and shows the cost so far.

        Raises:
            BudgetError: a budget is used up before all are asked.
            JudgeError: the endpoint refuses the key or the model, answers no more, or answers by another model.
                Either way, what was under way was waited for, and all replies so far are in the cache.
        """
        bodies = [self._body(question) for question in questions]
        keys = [digest({"request": body, "revision": self.revision}) for body in bodies]
        wanted = dict(zip(keys, bodies, strict=True))
        replies = self._found(wanted)
        pending = {key: Pending(body, most_tokens(body)) for key, body in wanted.items() if key not in replies}
        if pending:
            with progress(len(pending), what, shared=False) as update:
                replies |= self._asked(pending, update, answered=bool(replies))
        self._say_versions({reply.model for reply in replies.values() if reply.model})
        return [replies[key] for key in keys]

    @property
    def spending(self) -> Spending:
        """What this endpoint has been asked so far."""
        return self._ledger.spending

    def ours(self, name: str) -> bool:
        """Whether a model of this name may reply: the one that is asked, a dated version of it, or `answers_as`."""
        dated = re.fullmatch(rf"{re.escape(self.model)}-(\d{{4}}-\d\d-\d\d|\d{{4,8}})", name)
        return bool(dated) or name in (self.model, *self.answers_as)

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self.max_requests, self.max_tokens, self.prompt_price, self.completion_price)

    @cached_property
    def _replies(self) -> ReplyCache:
        return ReplyCache(Path(self.cache).expanduser())

    def _key(self) -> str:
        if self.key_env is None:
            return ""
        if key := key_of(self.key_env):
            return key
        raise ConfigError(
            f"judge: the environment variable {self.key_env} is not set, which should hold the key of {self.base_url}. "
            f"Set it, or name another with judge.endpoint.key_env; null is for a server that wants none."
        )

    def _body(self, question: Question) -> Body:
        body: Body = {
            "model": self.model,
            "messages": [{"role": m.role, "content": encodable(m.content)} for m in question.messages],
            "max_tokens": question.max_tokens,
            "temperature": float(question.temperature),
            "logprobs": None if question.top_logprobs is None else True,
            "top_logprobs": question.top_logprobs,
            "seed": question.seed,
        }
        return {name: value for name, value in (body | dict(self.extra)).items() if value is not None}

    def _found(self, wanted: Mapping[str, Body]) -> dict[str, Reply]:
        """Replies that the cache has, by key; those that cannot be trusted or are another model's are left out."""
        found = {}
        for key in wanted:
            try:
                reply = self._replies.get(key)
            except Damaged as damaged:
                log.warning("The cached reply %s is damaged, and is asked for again", damaged)
                self._ledger.damaged += 1
                continue
            except OSError as error:
                raise JudgeError(f"judge.endpoint.cache cannot be read: {error}.") from error
            if reply and self.ours(reply.model):
                self._ledger.found(reply)
                found[key] = reply
        return found

    def _asked(self, pending: Mapping[str, Pending], update: Update, *, answered: bool) -> dict[str, Reply]:
        """Replies to what the cache has none to; anyio, which comes with the client, runs the loop beside this thread.

        A notebook has a loop of its own in it, and whoever stops the work stops that in the loop, too.
        """
        from anyio.from_thread import start_blocking_portal

        from icr.judges.asking import Asking
        from icr.judges.sending import Sender

        asking = Asking(
            sender=Sender(self.base_url, self.key_env, self._key(), self.concurrency, self.timeout),
            ledger=self._ledger,
            keep=lambda key, reply: self._replies.put(key, pending[key].body, reply),
            ours=self.ours,
            update=update,
            concurrency=self.concurrency,
            retries=self.retries,
            backoff=self.backoff,
            answered=answered,
        )
        with start_blocking_portal() as portal:
            portal.call(asking.all, pending)
        if asking.stop:
            left = len(pending) - len(asking.replies)
            raise type(asking.stop)(
                f"{asking.stop!s} So far: {self.spending}. {left:,} of {len(pending):,} questions are left to ask; "
                f"the same command goes on from here, with the replies in {self._replies.folder}."
            ) from asking.stop
        return asking.replies

    def _say_versions(self, names: set[str]) -> None:
        if len(names) > 1:
            log.warning(
                "%s is several models (%s): name one of them in judge.endpoint.model, or verdicts are not of one judge",
                self.model,
                ", ".join(sorted(names)),
            )
        elif names and self.model not in names:
            log.info("%s replies as %s", self.model, *names)


def most_tokens(body: Body) -> int:
    """Tokens that a request and its reply can have: no tokenizer makes more of a text than it has bytes.

    What a chat template puts around each message, and before them all, is taken to be 64 tokens at most.
    """
    text = json.dumps(body["messages"], ensure_ascii=False).encode()
    limits = (body.get("max_tokens"), body.get("max_completion_tokens"))
    return len(text) + 64 + sum(limit for limit in limits if isinstance(limit, int))
