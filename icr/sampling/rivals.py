"""Which of two policies an engine holds, where they differ by less than its arithmetic does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icr.errors import RunError

BLOCK = 8
"""Consecutive tokens whose errors may hang together."""
DECIDED = 4.0
"""Size of the statistic at which it decides: by chance less than once in 3,000 times."""


@dataclass(frozen=True)
class Rival:
    """Other weights that an engine could hold in place of the policy's. All log-probs are shape `[T]`, in nats.

    Attributes:
        name: for messages.
        expected: their log-probs, computed in process; None where nobody here has them.
        answered: the engine's own when it held them; None where it was not seen to.
    """

    name: str
    expected: np.ndarray | None
    answered: np.ndarray | None


def compare(got: np.ndarray, policy: np.ndarray, rival: Rival, path: str, where: str, tolerance: float) -> str | None:
    """Decide between the policy and a rival by an engine's log-probs, or say by which figures that cannot be done.

    In this order: weights that answered as now, to the last bit, are held still, where most tokens' log-probs should
    have changed; weights whose log-probs are further away than the tolerance are not held; else `lean` decides, or
    whether the answers have moved along the difference of the two since the engine held the rival.

    Args:
        got: the engine's log-probs. Shape `[T]`, nats.
        policy: the policy's, in process.
        path: the policy's.
        where: names the engine in messages.
        tolerance: mean absolute difference at which weights are others for certain, in nats per token.

    Returns:
        What is in doubt, in a sentence or two; None where the engine holds the policy rather than the rival.

    Raises:
        RunError: it holds the rival.
    """
    still = rival.answered is not None and bool((got == rival.answered).all())
    if rival.expected is None:
        how = f"answers {len(got)} prompt tokens to the last bit as {rival.name} did"
        return f"{where} {how}: either that was {path} already, or it has not loaded it." if still else None
    difference = policy - rival.expected
    if still and np.count_nonzero(difference) > len(got) / 2:
        raise RunError(
            f"{where} does not hold the weights of {path}: its log-probs of {len(got)} prompt tokens are to the last "
            f"bit those that it gave with {rival.name}, though those of the two policies differ. {ADVICE}"
        )
    away = float(np.abs(got - rival.expected).mean())
    if away > tolerance:
        return None
    nearer = lean(got - (policy + rival.expected) / 2, difference)
    if nearer <= -DECIDED:
        raise RunError(
            f"{where} does not hold the weights of {path}: its log-probs of {len(got)} prompt tokens are nearer to "
            f"those of {rival.name} ({-nearer:.1f} standard errors, where {DECIDED:g} decide). {ADVICE}"
        )
    moved = 0.0 if rival.answered is None else lean(got - rival.answered, difference)
    if max(nearer, moved) >= DECIDED:
        return None
    own, apart = np.abs(got - policy).mean(), np.abs(difference).mean()
    return (
        f"Whether {where[:1].lower()}{where[1:]} holds {path} or {rival.name} cannot be told: on {len(got)} prompt "
        f"tokens the two differ by {apart:.2g} nats per token on average, and its log-probs by {own:.2g} and "
        f"{away:.2g} from theirs ({nearer:+.1f} standard errors towards the first, where {DECIDED:g} decide)."
    )


ADVICE = "It was not given the policy's weights, or has not loaded them: see its log, and start it again."


def lean(deviation: np.ndarray, direction: np.ndarray) -> float:
    """How decidedly deviations point along a direction: `Σ_b x_b / √(Σ_b x_b²)`, `x_b` the sum of a block's products.

    With `deviation = got − (new + old)/2` and `direction = new − old`, a product is
    `((got − old)² − (got − new)²)/2`: the log-likelihood ratio of the two under normal errors, up to their variance. It
    has a positive mean under the new and a negative one of the same size under the old policy, also where rounding in
    process blurs both log-probs. The sum is divided by its own standard error over blocks of tokens; where neither is
    nearer, it is beyond ±z with probability `2·exp(−z²/2)` at most (Efron 1969, for symmetric errors), and no number
    of blocks below z² reaches z.
    """
    products = deviation * direction
    blocks = np.add.reduceat(products, np.arange(0, len(products), BLOCK))
    scale = float(np.sqrt(np.square(blocks).sum()))
    return float(blocks.sum()) / scale if scale else 0.0
