"""What figures passed which limit, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from icr.evaluation.diagnosis.accuracy import Accuracy
from icr.evaluation.diagnosis.shares import Estimate
from icr.evaluation.diagnosis.verdict import Level, Limits, Reason
from icr.metrics import RoundMetric

SHARES = {
    RoundMetric.TRUNCATED: "of the responses are cut by the token limit, and take no part in pairs",
    RoundMetric.DUPLICATES: "of the responses repeat another one to their prompt",
    RoundMetric.EMPTY: "of the responses are empty",
    RoundMetric.REPEATING: "of the responses run in circles",
    RoundMetric.OFF_LANGUAGE: "of the responses are in another language",
}
"""Shares of responses that have a limit of their own name."""

MEANS = {
    "less likely under the reference": "it has learnt nothing beyond what the base finds unlikely",
    "likelier under the policy": "the reference adds nothing to the policy's own preference",
}
"""What it means that a reward is no better than a baseline, or orders as it does."""


def limit_name(metric: RoundMetric) -> str:
    """Name of a figure's limit."""
    return metric.removeprefix("diagnosis/")


def of_samples(limits: Limits, figures: Mapping[str, float]) -> Iterator[Reason]:
    """What own samples show.

    Args:
        figures: of one language, by name; what is missing is not judged.
    """
    known = {name: figures[name] for name in RoundMetric if name in figures}
    if reason := equal_rewards(limits, known.get(RoundMetric.EQUAL_REWARDS, float("nan"))):
        yield reason
    yield from _log_ratio(limits, known.get(RoundMetric.LOG_RATIO, float("nan")), "its responses")
    pairs = known.get(RoundMetric.PAIRS, float("nan"))
    if (found := limits.passed("pairs", pairs)) and not (reason and reason.level == Level.NO_GO):
        yield Reason(found[0], "pairs", f"only {pairs:.2f} pairs per prompt (limit {found[1]:g})")
    length = known.get(RoundMetric.LENGTH_AFTER, float("nan"))
    if found := limits.passed("length", abs(length)):
        kind = "longer" if length > 0 else "shorter"
        text = f"after length control {kind} responses still score higher: τ = {length:+.2f} (limit {found[1]:g})"
        yield Reason(found[0], "length", text)
    for metric, words in SHARES.items():
        share = known.get(metric, float("nan"))
        if found := limits.passed(limit_name(metric), share):
            yield Reason(found[0], limit_name(metric), f"{share:.0%} {words} (limit {found[1]:.0%})")


def equal_rewards(limits: Limits, share: float) -> Reason | None:
    """Rewards that do not tell different responses apart."""
    if not (found := limits.passed("equal_rewards", share)):
        return None
    because = ": policy and reference are one model, or score alike" if found[0] == Level.NO_GO else ""
    return Reason(found[0], "equal_rewards", f"{share:.0%} of the comparisons have two equal rewards{because}")


def of_accuracy(limits: Limits, accuracy: Accuracy, what: str) -> Iterator[Reason]:
    """Whether the reward orders as labels do, and better than what needs no reward.

    Rewards that are equal have no accuracy to speak of: then that is the reason, and no other.

    Args:
        what: the labels are, for the sentence.
    """
    reason = equal_rewards(limits, accuracy.equal)
    if reason:
        yield reason
        if reason.level == Level.NO_GO:
            return
    reward = accuracy.reward
    if found := limits.passed("accuracy", reward.low):
        seen = f"accuracy {what} is {reward} over {_prompts(reward)}"
        if found[0] != Level.NO_GO:
            text = f"{seen}: hardly better than chance"
        elif reward.high < found[1]:
            text = f"{seen}: worse than chance, as if policy and reference had changed places"
        else:
            text = f"{seen}: not to be told from chance"
        yield Reason(found[0], "accuracy", text)
    best = accuracy.best
    if best and (found := limits.passed("over_baselines", accuracy.over[best].low)):
        text = (
            f"accuracy {what} is no better than “{best} wins” ({accuracy.baselines[best]}; difference "
            f"{_signed(accuracy.over[best])}){_meaning(best)}"
        )
        yield Reason(found[0], "over_baselines", text)
    yield from of_likeness(limits, accuracy, what)


def of_likeness(limits: Limits, accuracy: Accuracy, what: str) -> Iterator[Reason]:
    """Whether the reward is a baseline by another name."""
    if not accuracy.alike:
        return
    name = max(accuracy.alike, key=lambda name: accuracy.alike[name])
    if found := limits.passed("alike", accuracy.alike[name]):
        text = f"{accuracy.alike[name]:.0%} of the comparisons {what} are ordered as by “{name} wins”{_meaning(name)}"
        yield Reason(found[0], "alike", text)


def of_log_ratio(limits: Limits, accuracy: Accuracy) -> Iterator[Reason]:
    """Whether reference and policy belong together, by labelled answers."""
    yield from _log_ratio(limits, accuracy.log_ratio, "labelled answers")


def of_agreement(limits: Limits, agreement: Estimate, main: str, other: str) -> Iterator[Reason]:
    """Whether two reward prompts see the same in a response."""
    if found := limits.passed("agreement", agreement.low):
        because = ": one of the two is noise" if found[0] == Level.NO_GO else ""
        text = f"{main} and {other} rewards order {agreement} of the comparisons alike{because}"
        yield Reason(found[0], "agreement", text)


def _log_ratio(limits: Limits, ratio: float, where: str) -> Iterator[Reason]:
    if found := limits.passed("log_ratio", abs(ratio)):
        because = ": the reference is not the model that the policy was aligned from"
        text = f"policy and reference are {ratio:+.2f} nats per token apart on {where} (limit {found[1]:g})"
        yield Reason(found[0], "log_ratio", text + (because if found[0] == Level.NO_GO else ""))


def _meaning(baseline: str) -> str:
    return next((f": {words}" for start, words in MEANS.items() if baseline == start), "")


def _prompts(estimate: Estimate) -> str:
    return f"{estimate.comparisons:,} comparisons of {estimate.prompts:,} prompts"


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"
