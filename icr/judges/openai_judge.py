"""Comparisons by a model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icr.checks import require_counts, require_number, require_one_of
from icr.judges.endpoint import Endpoint
from icr.judges.pair_prompt import PairPrompt
from icr.judges.protocols import Comparison, PairwiseJudge, Verdict
from icr.judges.questions import Question, Reply
from icr.judges.spending import Spending

log = logging.getLogger(__name__)

ORDERS: Mapping[str, tuple[bool, ...]] = {"both": (True, False), "first": (True,), "second": (False,)}
"""Whether the answer is shown first, in each order that is asked for."""
UNWEIGHTED, NO_VERDICT = "no log-probs", "not a verdict"


@dataclass(frozen=True)
class OpenAIJudge(PairwiseJudge):
    """Asks a model which of two answers is the better one, in both orders. Config group `judge`.

    In each order the answer has a preference `q`: from the log-probs of the verdict's first token, by
    `PairPrompt.weighted`; or 1, 0 or 0.5 by the verdict as it is written, where no log-probs are asked for, or the
    endpoint gave none with any verdict of a call. The preference is the mean over the orders that are asked for. Where
    one of them has no verdict there is none at all: the mean of one order alone would be that of the position, too.

    Two things are not asked. Answers that are equal tie, as in AlpacaEval; and an answer of nothing but white space
    loses against one that is not, which AlpacaEval leaves to its judge. Such verdicts have a preference in no order.

    Raises:
        ValueError: a setting is out of range.
    """

    endpoint: Endpoint
    """The model, where it is served, and what it may cost."""
    prompt: PairPrompt
    """What it reads."""
    orders: str = "both"
    """In which order the answer is shown: `both`, or `first` or `second` alone."""
    top_logprobs: int | None = 20
    """How many of the likeliest tokens are weighed; None takes verdicts as they are written."""
    minimum_mass: float = 0.1
    """Probability that the words of a verdict must have together, for their weights to count."""
    verdict_tokens: int = 1
    """Tokens of a verdict; its first token is the one that is weighed."""

    def __post_init__(self) -> None:
        require_one_of("orders", self.orders, tuple(ORDERS))
        require_counts(self, "verdict_tokens")
        require_number("minimum_mass", self.minimum_mass, least=0, most=1)
        if self.top_logprobs is not None:
            require_counts(self, "top_logprobs", otherwise="or null")

    def require(self) -> None:
        """Refuse an endpoint that cannot be asked."""
        self.endpoint.require()

    @property
    def spending(self) -> Spending:
        """Of the endpoint."""
        return self.endpoint.spending

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict per comparison, in order.

        Raises:
            BudgetError, JudgeError: as `Endpoint.ask`.
        """
        decided = [_decided(comparison) for comparison in comparisons]
        orders = ORDERS[self.orders]
        questions = [
            self._question(comparison, first)
            for comparison, known in zip(comparisons, decided, strict=True)
            if known is None
            for first in orders
        ]
        replies = self.endpoint.ask(questions, f"{self.endpoint.model} · verdicts")
        weighs = self.top_logprobs is not None and any(reply.top_logprobs for reply in replies)
        if self.top_logprobs is not None and not weighs and any(reply.text for reply in replies):
            log.warning("%s gives no log-probs: verdicts are taken as they are written", self.endpoint.model)
        outcomes = iter([self._outcome(reply, weighs) for reply in replies])
        verdicts = [
            Verdict(known) if known is not None else _mean({first: next(outcomes) for first in orders})
            for known in decided
        ]
        self._say(decided, verdicts)
        return verdicts

    def _question(self, comparison: Comparison, first: bool) -> Question:
        shown = (comparison.answer, comparison.reference) if first else (comparison.reference, comparison.answer)
        messages = self.prompt.messages(comparison.prompt, *shown)
        return Question(messages, max_tokens=self.verdict_tokens, top_logprobs=self.top_logprobs)

    def _outcome(self, reply: Reply, weighs: bool) -> tuple[float | None, str]:
        """Preference for the answer that was shown first, or why there is none."""
        if reply.text is None:
            return None, reply.reason
        if weighs and not reply.top_logprobs:
            return None, UNWEIGHTED
        q = self.prompt.weighted(reply.top_logprobs, self.minimum_mass) if weighs else self.prompt.said(reply.text)
        return q, "" if q is not None else NO_VERDICT

    def _say(self, decided: Sequence[float | None], verdicts: Sequence[Verdict]) -> None:
        without = Counter(verdict.reason for verdict in verdicts if verdict.reason)
        known = sum(q is not None for q in decided)
        log.info(
            "%s: %d verdicts, %d of them without asking (equal or empty answers), %d missing%s; %s",
            self.endpoint.model,
            len(verdicts) - without.total(),
            known,
            without.total(),
            f" ({', '.join(f'{reason}: {count}' for reason, count in without.most_common())})" if without else "",
            self.spending,
        )


def _decided(comparison: Comparison) -> float | None:
    """The preference where none has to be asked for: equal answers, or one that is empty."""
    answer, reference = comparison.answer.strip(), comparison.reference.strip()
    if comparison.answer == comparison.reference or not (answer or reference):
        return 0.5
    return None if answer and reference else float(bool(answer))


def _mean(outcomes: Mapping[bool, tuple[float | None, str]]) -> Verdict:
    """The verdict of one comparison.

    Args:
        outcomes: by whether the answer was shown first: the preference for what was shown first, or why there is none.
    """
    of_answer = {first: q if first or q is None else 1 - q for first, (q, _) in outcomes.items()}
    reasons = dict.fromkeys(reason for _, reason in outcomes.values() if reason)
    known = [q for q in of_answer.values() if q is not None]
    return Verdict(
        None if reasons else math.fsum(known) / len(known),
        " and ".join(reasons),
        shown_first=of_answer.get(True),
        shown_second=of_answer.get(False),
    )
