"""What judges cost: requests, tokens and money, every one accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Spending:
    """What has been asked of an endpoint by this process, and what the cache has saved it.

    Each request ends in one of three ways, so that `requests = replies + failed`, and a reply is cached from then on.
    Tokens and cost are of replies that came whole; what a server has charged for one that broke off, nobody tells.

    Attributes:
        requests: sent, the first ones and the repeated ones.
        cached: questions that the cache had the reply to.
        retries: requests that were repeated ones.
        failed: requests without a reply, by reason, such as `{"status 429": 3}`.
        prompt_tokens, completion_tokens: that the replies to `requests` say they have used.
        cost: of these tokens, in the currency of the prices; None where a price is not known.
        cached_prompt_tokens, cached_completion_tokens: that the replies from the cache had used when they were paid.
        damaged: entries of the cache that were not what had been written, and whose questions were asked again.
    """

    requests: int = 0
    cached: int = 0
    retries: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    cached_prompt_tokens: int = 0
    cached_completion_tokens: int = 0
    damaged: int = 0

    def __add__(self, other: Spending) -> Spending:
        """Of two judges together; a cost is known where both are."""
        costs = (self.cost, other.cost)
        return Spending(
            requests=self.requests + other.requests,
            cached=self.cached + other.cached,
            retries=self.retries + other.retries,
            failed=dict(Counter(self.failed) + Counter(other.failed)),
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost=None if None in costs else sum(cost for cost in costs if cost is not None),
            cached_prompt_tokens=self.cached_prompt_tokens + other.cached_prompt_tokens,
            cached_completion_tokens=self.cached_completion_tokens + other.cached_completion_tokens,
            damaged=self.damaged + other.damaged,
        )

    def __str__(self) -> str:
        """One line for people."""
        failures = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(self.failed.items()))
        parts = [
            f"{self.requests:,} requests",
            f"{self.retries:,} of them repeated" if self.retries else "",
            f"{sum(self.failed.values()):,} without a reply ({failures})" if self.failed else "",
            f"{self.cached:,} replies from the cache",
            f"{self.damaged:,} damaged entries of it asked again" if self.damaged else "",
            f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens",
            "cost unknown" if self.cost is None else f"cost {self.cost:.2f}",
        ]
        return ", ".join(filter(None, parts))
