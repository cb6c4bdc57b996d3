"""What figures passed which limit, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from icr.evaluation.diagnosis.accuracy import Accuracy
from icr.evaluation.diagnosis.shares import Estimate
from icr.evaluation.diagnosis.verdict import Level, Limits, Reason
from icr.metrics import RoundMetric

SHARES = {
    RoundMetric.TRUNCATED: "of the responses are cut by the token limit: reward.keep_truncated alone pairs them",
    RoundMetric.DUPLICATES: "of the responses repeat another one to their prompt",
    RoundMetric.EMPTY: "of the responses are empty",
    RoundMetric.REPEATING: "of the responses run in circles",
    RoundMetric.OFF_LANGUAGE: "of the responses are in another language",
}
"""Shares of responses that have a limit of their own name."""

MEANS = {
    "less likely under the reference": "it may have learnt no more than what the base finds unlikely",
    "likelier under the policy": "the reference may add nothing to what the policy finds likely",
}
"""What it means that a reward is no better than a baseline."""


def limit_name(metric: RoundMetric) -> str:
    """Name of a figure's limit."""
    return metric.removeprefix("diagnosis/")


def of_samples(limits: Limits, figures: Mapping[str, float]) -> Iterator[Reason]:
    """What own samples show.

    Args:
        figures: of one language, by name; what is missing is not judged.
    """
    known = {name: figures[name] for name in RoundMetric if name in figures}
    equal = known.get(RoundMetric.EQUAL_REWARDS, float("nan"))
    if reason := equal_rewards(limits, equal):
        yield reason
    yield from _log_ratio(limits, known.get(RoundMetric.LOG_RATIO, float("nan")), "its responses")
    pairs = known.get(RoundMetric.PAIRS, float("nan"))
    if (found := limits.passed("pairs", pairs)) and not tells_nothing(limits, equal):
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


def tells_nothing(limits: Limits, share: float) -> bool:
    """Whether so many rewards are equal that there is no order to speak of: that explains all else that is wrong."""
    reason = equal_rewards(limits, share)
    return reason is not None and reason.level == Level.NO_GO


def of_accuracy(limits: Limits, accuracy: Accuracy, what: str) -> Iterator[Reason]:
    """Whether the reward orders as labels do.

    Args:
        what: the labels are, for the sentence.
    """
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


def of_baselines(limits: Limits, accuracy: Accuracy, what: str) -> Iterator[Reason]:
    """Whether the reward orders better than the best of what needs no reward."""
    best = accuracy.best
    if best and (found := limits.passed("over_baselines", accuracy.over[best].low)):
        text = (
            f"accuracy {what} is not shown to be better than that of “{best} wins” ({accuracy.baselines[best]}; "
            f"difference {_signed(accuracy.over[best])})"
        )
        yield Reason(found[0], "over_baselines", text + (f": {MEANS[best]}" if best in MEANS else ""))


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


def _prompts(estimate: Estimate) -> str:
    return f"{estimate.comparisons:,} comparisons of {estimate.prompts:,} prompts"


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"
