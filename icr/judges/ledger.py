"""What has been asked and what it cost, as it comes in, and what budgets leave."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from icr.judges.questions import Reply
from icr.judges.spending import Spending

MILLION = 1_000_000


@dataclass
class Ledger:
    """Counts of one endpoint in this process, which only grow.

    Attributes:
        max_requests, max_tokens: budgets; None is none.
        prompt_price, completion_price: of a million tokens; None where they are not known.
        requests, retries, cached, damaged, failed: as `Spending` has them.
        prompt_tokens, completion_tokens: of replies that were paid for.
        cached_prompt_tokens, cached_completion_tokens: of those from the cache.
        unmetered: replies that did not say what they used, so that the cost is not known.
        charged: tokens that count against the budget: those that replies say they used, and the most that those which
            do not say so can have used.
    """

    max_requests: int | None
    max_tokens: int | None
    prompt_price: float | None
    completion_price: float | None
    requests: int = 0
    retries: int = 0
    cached: int = 0
    damaged: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    cached_completion_tokens: int = 0
    unmetered: int = 0
    charged: int = 0

    def exceeded(self, tokens: int) -> str:
        """Which budget one more request could exceed, with so many tokens to come at most; `""` where none."""
        if self.max_requests is not None and self.requests >= self.max_requests:
            return "max_requests"
        if self.max_tokens is not None and self.charged + tokens > self.max_tokens:
            return "max_tokens"
        return ""

    def sent(self, *, again: bool) -> None:
        """A request goes out."""
        self.requests += 1
        self.retries += again

    def returned(self, reply: Reply, most: int) -> None:
        """It has its reply, which may have used so many tokens at most."""
        self.prompt_tokens += reply.prompt_tokens or 0
        self.completion_tokens += reply.completion_tokens or 0
        if reply.prompt_tokens is None or reply.completion_tokens is None:
            self.unmetered += 1
            self.charged += most
        else:
            self.charged += reply.prompt_tokens + reply.completion_tokens

    def lost(self, reason: str) -> None:
        """It has none."""
        self.failed[reason] += 1

    def found(self, reply: Reply) -> None:
        """The cache has a reply."""
        self.cached += 1
        self.cached_prompt_tokens += reply.prompt_tokens or 0
        self.cached_completion_tokens += reply.completion_tokens or 0

    @property
    def cost(self) -> float | None:
        """Of what was paid for so far."""
        if self.prompt_price is None or self.completion_price is None or self.unmetered:
            return None
        return (self.prompt_tokens * self.prompt_price + self.completion_tokens * self.completion_price) / MILLION

    @property
    def note(self) -> str:
        """What was paid for so far, to show beside progress."""
        if self.cost is not None:
            return f"cost {self.cost:.2f}"
        return f"{self.prompt_tokens + self.completion_tokens:,} tokens"

    @property
    def spending(self) -> Spending:
        """All of it, as it is now."""
        return Spending(
            requests=self.requests,
            cached=self.cached,
            retries=self.retries,
            failed=dict(self.failed),
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost=self.cost,
            cached_prompt_tokens=self.cached_prompt_tokens,
            cached_completion_tokens=self.cached_completion_tokens,
            damaged=self.damaged,
        )
