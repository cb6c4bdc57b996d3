"""The implicit reward of a response: what an aligned model has learnt to prefer over the model it was aligned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from icr.checks import require_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def implicit_reward(
    policy_token_logps: ArrayLike,
    reference_token_logps: ArrayLike,
    *,
    beta: float,
    token_clip: float | None = None,
) -> float:
    """`r(x, y) = β·Σ_t min(c, log π_0(y_t|x, y_<t) − log π_I(y_t|x, y_<t))`.

    Without `c` it is `β·log(π_0(y|x)/π_I(y|x))`, the reward that DPO fits up to a term of the prompt alone (Rafailov et
    al. 2023, equation 5). A `c` bounds what one token can add, without bounding what it can cost: a violent alignment
    leaks probability to junk tokens, whose log-ratio is then huge and positive. `c = 0` is the pessimistic reward, in
    which tokens can only cost.

    Args:
        policy_token_logps: log-prob of each response token under `π_0`, end-of-turn token included, nats. Shape `[T]`.
        reference_token_logps: the same under `π_I`. Shape `[T]`.
        beta: `β` that the policy was aligned with, above 0.
        token_clip: upper bound `c` of a token's log-ratio in nats; `None` for none.

    Returns:
        The reward in nats, summed in float64; 0 for an empty response. A non-finite log-prob gives a non-finite reward,
        clipped or not.

    Raises:
        ValueError: where the shapes are not one shape `[T]`, `beta` is not a finite number above 0, or `token_clip` is
            not finite.
    """
    require_number("beta", beta, above=0)
    if token_clip is not None:
        require_number("token_clip", token_clip, otherwise="or None")
    policy, reference = np.asarray(policy_token_logps, np.float64), np.asarray(reference_token_logps, np.float64)
    if policy.ndim != 1 or policy.shape != reference.shape:
        raise ValueError(
            f"token log-probs must have one shape [T], got {list(policy.shape)} and {list(reference.shape)}"
        )
    log_ratios = policy - reference
    if token_clip is not None and np.isfinite(log_ratios).all():
        log_ratios = np.minimum(log_ratios, token_clip)
    return float(beta * log_ratios.sum())
