"""Reward accuracy with intervals, beside baselines that need no reward."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from icr.evaluation.diagnosis.samples import Samples, agreed, signs
from icr.evaluation.diagnosis.shares import Estimate, Shares

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

REWARD = "reward"


@dataclass(frozen=True)
class Accuracy:
    """How well a reward orders responses, and how well they are ordered without one.

    Attributes:
        reward: share of comparisons that the reward orders as the labels do.
        baselines: the same share of each baseline.
        over: the reward's share less that of each baseline, paired by prompt.
        equal: share of the comparisons in which both rewards are equal.
        log_ratio: mean `log π − log π_ref` per token, in nats; NaN where no reward pair scores.
    """

    reward: Estimate
    baselines: dict[str, Estimate]
    over: dict[str, Estimate]
    equal: float
    log_ratio: float

    @property
    def best(self) -> str | None:
        """The baseline with the highest share; None where there is none."""
        return max(self.baselines, key=lambda name: self.baselines[name].value, default=None)


@dataclass(frozen=True)
class Accuracies:
    """Accuracy of one language, by reward prompt.

    Attributes:
        by_prompt: accuracy under each reward prompt.
        differences: the share under the run's reward prompt less that under each other one, paired by prompt.
        categories: rows in each category; empty where there are none.
    """

    by_prompt: dict[str, Accuracy]
    differences: dict[str, Estimate]
    categories: dict[str, int] = field(default_factory=dict)


def baselines(samples: Samples, *, equal_length: bool) -> dict[str, Floats]:
    """What orders responses without a reward, by name. At equal length sums and means are one order, and lengths none.

    Baselines by log-probs are left out where no reward pair scores.
    """
    found: dict[str, Floats] = {}
    if not equal_length:
        found |= {"longer": samples.tokens, "shorter": -samples.tokens}
    for model, logps in (("policy", samples.policy_logps), ("reference", samples.reference_logps)):
        if np.isnan(logps[samples.there]).any():
            continue
        found |= {f"likelier under the {model}": logps, f"less likely under the {model}": -logps}
        if not equal_length:
            per_token = logps / samples.tokens
            found |= {
                f"likelier per token under the {model}": per_token,
                f"less likely per token under the {model}": -per_token,
            }
    return found


def accuracies(
    tables: Mapping[str, Samples],
    quality: Floats,
    within: NDArray[np.bool_],
    *,
    main: str,
    confidence: float,
    tie: float,
    equal_length: bool = False,
    clusters: Sequence[Hashable] = (),
    categories: Sequence[str] = (),
) -> Accuracies:
    """How well rewards order the responses to the prompts of one language as `quality` does.

    Args:
        tables: the same responses, under each reward prompt.
        quality: what the order should be. Shape `[N, K]`.
        within: responses that take part.
        main: reward prompt of the run.
        confidence: of the intervals.
        tie: what a comparison counts in which what orders is equal: 0 or a half.
        equal_length: whether the responses to a prompt have one length.
        clusters: what rows of one prompt share; empty where every row is a prompt of its own.
        categories: of each row, over which the mean is plain; empty for none.
    """
    ways = {
        (prompt, name): values
        for prompt, samples in tables.items()
        for name, values in {REWARD: samples.rewards, **baselines(samples, equal_length=equal_length)}.items()
    }
    counts = {key: agreed(values, quality, within, tie) for key, values in ways.items()}
    rows = len(quality)
    shares = Shares(
        {"/".join(key): hits for key, (hits, _) in counts.items()},
        {"/".join(key): counted for key, (_, counted) in counts.items()},
        clusters or range(rows),
        categories or [""] * rows,
        confidence,
    )
    by_prompt = {prompt: _accuracy(prompt, samples, ways, within, shares) for prompt, samples in tables.items()}
    own = f"{main}/{REWARD}"
    others = {name: shares.difference(own, f"{name}/{REWARD}") for name in tables if name != main and main in tables}
    return Accuracies(by_prompt, others, _sizes(categories))


def _accuracy(
    prompt: str,
    samples: Samples,
    ways: Mapping[tuple[str, str], Floats],
    within: NDArray[np.bool_],
    shares: Shares,
) -> Accuracy:
    names = [name for of, name in ways if of == prompt and name != REWARD]
    own = f"{prompt}/{REWARD}"
    order = signs(samples.rewards, within)
    compared = _compared(samples, within)
    count = compared.sum()

    return Accuracy(
        reward=shares.share(own),
        baselines={name: shares.share(f"{prompt}/{name}") for name in names},
        over={name: shares.difference(own, f"{prompt}/{name}") for name in names},
        equal=float((order == 0)[compared].mean()) if count else math.nan,
        log_ratio=log_ratio(samples),
    )


def _compared(samples: Samples, within: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Comparisons of two responses that differ. Shape `[N, K·(K−1)/2]`."""
    different: NDArray[np.bool_] = signs(samples.texts.astype(np.float64), within) != 0
    return different


def log_ratio(samples: Samples) -> float:
    """Mean of `(log π(y|x) − log π_ref(y|x)) / |y|` over responses, in nats per token.

    On the policy's own responses to the prompt that they are scored under it is the KL divergence from the reference
    per token (of each response alike). An aligned model is a few hundredths, at most tenths, from what it was aligned
    from.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (samples.policy_logps - samples.reference_logps) / samples.tokens
    known = ratios[samples.there & ~np.isnan(ratios)]
    return float(known.mean()) if known.size else math.nan


def _sizes(categories: Sequence[str]) -> dict[str, int]:
    return {name: list(categories).count(name) for name in dict.fromkeys(categories)}
