"""Length-controlled win rate: what the win rate would be if both answers were equally long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

RIDGE = 0.01  # a normal prior of standard deviation 10 logits: invisible in ordinary data, finite in separable data
MAX_STEPS = 200
TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class LengthModel:
    """Fitted `P(win) = σ(intercept + slope · tanh(Δ/s))`, `Δ` the length difference and `s` its standard deviation.

    Attributes:
        intercept, slope: logits.
        scale: `s`, in the unit of the lengths; 0 where all differences are equal and length can explain nothing.
    """

    intercept: float
    slope: float
    scale: float

    @property
    def win_rate(self) -> float:
        """Predicted win rate at equal lengths, `100 · σ(intercept)`, in percent."""
        return float(100.0 * _sigmoid(np.asarray(self.intercept)))


def fit_length_model(
    outcomes: ArrayLike, lengths: ArrayLike, opponent_lengths: ArrayLike, ridge: float = RIDGE
) -> LengthModel:
    """Logistic regression of (soft) preferences on length: maximises `Σ q·log p + (1−q)·log(1−p) − ridge/2·‖θ‖²`.

    After Dubois et al. 2024, "Length-Controlled AlpacaEval" (arXiv 2404.04475), whose feature is the same: the
    difference is divided by its sample standard deviation but not centred, so that zero stays zero. Two of its terms
    are left out: the instruction difficulty and the "gamed" baselines, published for its English prompts alone. Fit it
    language by language. The figure is therefore comparable between models of a run, not with the leaderboard.

    Args:
        outcomes: `q`, the preference for the model over the opponent, in [0, 1]. Shape `[N]`.
        lengths, opponent_lengths: of the two answers, in one unit (AlpacaEval: characters). Shape `[N]`.
        ridge: precision of the prior on both coefficients.

    Raises:
        ValueError: shapes differ, nothing is given, a number is not finite, or an outcome is outside [0, 1].
    """
    q, ours, theirs = (np.asarray(a, dtype=np.float64) for a in (outcomes, lengths, opponent_lengths))
    if q.ndim != 1 or q.size == 0 or not q.shape == ours.shape == theirs.shape:
        raise ValueError(f"need three non-empty vectors of one length, got {q.shape}, {ours.shape}, {theirs.shape}")
    if not all(np.isfinite(a).all() for a in (q, ours, theirs)) or q.min() < 0 or q.max() > 1:
        raise ValueError("outcomes must lie in [0, 1], and lengths must be finite")
    if ridge <= 0:
        raise ValueError(f"ridge must be positive, got {ridge}")
    difference = ours - theirs
    scale = float(difference.std(ddof=1)) if q.size > 1 else 0.0
    feature = np.tanh(difference / scale) if scale > 0 else np.zeros_like(difference)
    intercept, slope = _maximise(np.stack([np.ones_like(feature), feature], axis=1), q, ridge)
    return LengthModel(float(intercept), float(slope), scale)


def length_controlled_win_rate(
    outcomes: ArrayLike, lengths: ArrayLike, opponent_lengths: ArrayLike, ridge: float = RIDGE
) -> float:
    """`fit_length_model(…).win_rate`, in percent."""
    return fit_length_model(outcomes, lengths, opponent_lengths, ridge).win_rate


def _maximise(design: NDArray[np.float64], q: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Newton's method with halved steps; the objective is strictly concave, so this is its maximum. Shape `[2]`."""
    theta = np.zeros(design.shape[1])
    value = _objective(theta, design, q, ridge)
    for _ in range(MAX_STEPS):
        p = _sigmoid(design @ theta)
        gradient = design.T @ (q - p) - ridge * theta
        if np.abs(gradient).max() < TOLERANCE * max(1, q.size):
            break
        hessian = (design * (p * (1 - p))[:, None]).T @ design + ridge * np.eye(theta.size)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (new := _objective(theta + size * step, design, q, ridge)) < value and size > 1e-12:
            size /= 2
        theta, value = theta + size * step, new
    return theta


def _objective(theta: NDArray[np.float64], design: NDArray[np.float64], q: NDArray[np.float64], ridge: float) -> float:
    logits = design @ theta
    return float(np.sum(q * logits - np.logaddexp(0, logits)) - ridge / 2 * theta @ theta)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -x))
