"""An OpenAI-compatible endpoint, and how its model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from icr.judges.questions import Message, Question, Reply
from icr.judges.spending import Spending

__all__ = ["Endpoint", "Message", "Question", "Reply"]


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

    def require(self) -> None:
        """Refuse what is sure to fail, before a model is loaded.

        Raises:
            ConfigError: the openai package or the key is missing, or the cache's folder cannot be written.
        """
        raise NotImplementedError

    def ask(self, questions: Sequence[Question], what: str) -> list[Reply]:
        """One reply per question, in order; a question that comes twice, or has a reply in the cache, is not asked.

        Args:
            what: names the work in its progress bar.

        Raises:
            BudgetError: a budget is used up before all are asked.
            JudgeError: the endpoint refuses the key or the model, answers no more, or answers by another model.
                Either way, what was under way was waited for, and all replies so far are in the cache.
        """
        raise NotImplementedError

    @property
    def spending(self) -> Spending:
        """What this endpoint has been asked so far."""
        raise NotImplementedError
