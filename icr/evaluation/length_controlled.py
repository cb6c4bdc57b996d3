"""Length-controlled win rate: what the win rate would be if both answers were equally long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

RIDGE = 0.01  # a normal prior of standard deviation 10 logits: invisible in ordinary data, finite in separable data
MAX_STEPS = 200
TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class LengthPrior:
    """Independent normal priors of the coefficients; that of the intercept is `N(0, 1/RIDGE)`.

    Attributes:
        slope, slope_precision: of the length feature: mean, and one over the variance.
        difficulty, difficulty_precision: of the difficulty.
    """

    slope: float = 0.0
    slope_precision: float = RIDGE
    difficulty: float = 0.0
    difficulty_precision: float = RIDGE

    def __post_init__(self) -> None:
        if not (self.slope_precision > 0 and self.difficulty_precision > 0):
            raise ValueError(f"precisions must be positive, got {self}")


WEAK = LengthPrior()
"""Says nothing: what the verdicts leave open stays open."""
LEADERBOARD = LengthPrior(slope=1.6, slope_precision=11, difficulty=0.88, difficulty_precision=78)
"""In place of AlpacaEval's two gamed baselines, for use with difficulties; fitted by `experiments/length_control`."""
LEADERBOARD_ALONE = LengthPrior(slope=0.6, slope_precision=33)
"""The same where no difficulty is known."""


@dataclass(frozen=True, slots=True)
class LengthModel:
    """Fitted `P(win) = σ(intercept + slope · tanh(Δ/s) + difficulty · d)`, `Δ` the length difference.

    Attributes:
        intercept, slope: logits.
        scale: `s`, the standard deviation of `Δ`; 0 where all differences are equal and length can explain nothing.
        difficulty: logits per unit of the prompt's difficulty `d`; 0 where no difficulty was given.
    """

    intercept: float
    slope: float
    scale: float
    difficulty: float = 0.0

    @property
    def win_rate(self) -> float:
        """Predicted win rate at equal lengths on prompts of difficulty 0, `100 · σ(intercept)`, in percent."""
        return float(100.0 * sigmoid(np.asarray(self.intercept)))

    def at_equal_lengths(self, difficulty: Floats) -> Floats:
        """`σ(intercept + difficulty · d)` of each prompt, in the shape of the difficulties."""
        return sigmoid(self.intercept + self.difficulty * difficulty)


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """A length-controlled win rate in percent, and its standard error as AlpacaEval defines it, in percentage points.

    The standard error is that of the mean of the predictions, which differ by difficulty alone; what the verdicts leave
    open about the model's coefficients is not in it, so that it is a lower bound. NaN where no difficulty was given.
    """

    win_rate: float
    standard_error: float


def length_feature(lengths: Floats, opponent_lengths: Floats, weights: Floats) -> tuple[Floats, float]:
    """`tanh(Δ/s)`, and `s`: the sample deviation of `Δ`, which is not centred, so that zero stays zero."""
    difference, total = lengths - opponent_lengths, weights.sum()
    centre = weights @ difference / total
    scale = math.sqrt(weights @ (difference - centre) ** 2 / (total - 1)) if total > 1 else 0.0
    return (np.tanh(difference / scale) if scale > 0 else np.zeros_like(difference)), scale


def fit_length_model(
    outcomes: ArrayLike,
    lengths: ArrayLike,
    opponent_lengths: ArrayLike,
    *,
    difficulty: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    prior: LengthPrior | None = None,
) -> LengthModel:
    """Logistic regression of (soft) preferences: maximises `Σ w·[q·log p + (1−q)·log(1−p)] + log prior`.

    After Dubois et al. 2024, "Length-Controlled AlpacaEval" (arXiv 2404.04475), whose features are the same. There,
    two gamed answers of the baseline hold the coefficients of length and difficulty; here a prior does. Fit it language
    by language.

    Args:
        outcomes: `q`, the preference for the model over the opponent, in [0, 1]. Shape `[N]`.
        lengths, opponent_lengths: of the two answers, in one unit (AlpacaEval: characters). Shape `[N]`.
        difficulty: `d` of the prompts, such as `alpaca_eval_difficulty()`. Shape `[N]`.
        weights: of the comparisons, such as one over the number of answers to the prompt; None weighs all with 1.
            Shape `[N]`.
        prior: None takes `LEADERBOARD` with difficulties, and `WEAK` without.

    Raises:
        ValueError: shapes differ, nothing is given, a number is not finite, or an outcome is outside [0, 1].
    """
    q, ours, theirs = (np.asarray(a, dtype=np.float64) for a in (outcomes, lengths, opponent_lengths))
    d = np.zeros_like(q) if difficulty is None else np.asarray(difficulty, dtype=np.float64)
    w = np.ones_like(q) if weights is None else np.asarray(weights, dtype=np.float64)
    if q.ndim != 1 or q.size == 0 or not q.shape == ours.shape == theirs.shape == d.shape == w.shape:
        shapes = ", ".join(str(a.shape) for a in (q, ours, theirs, d, w))
        raise ValueError(f"need non-empty vectors of one length, got {shapes}")
    if not all(np.isfinite(a).all() for a in (q, ours, theirs, d, w)) or q.min() < 0 or q.max() > 1:
        raise ValueError("outcomes must lie in [0, 1], and lengths, difficulties and weights must be finite")
    feature, scale = length_feature(ours, theirs, w)
    believed = prior or (WEAK if difficulty is None else LEADERBOARD)
    intercept, slope, of_difficulty = map_coefficients(q, feature, d, w, believed)
    return LengthModel(intercept, slope, scale, 0.0 if difficulty is None else of_difficulty)


def length_controlled(
    outcomes: ArrayLike,
    lengths: ArrayLike,
    opponent_lengths: ArrayLike,
    *,
    difficulty: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    prior: LengthPrior | None = None,
) -> LengthControlled:
    """The mean of `at_equal_lengths` over the prompts of a fitted length model, with its standard error.

    Args and Raises are those of `fit_length_model`.
    """
    model = fit_length_model(outcomes, lengths, opponent_lengths, difficulty=difficulty, weights=weights, prior=prior)
    if difficulty is None:
        return LengthControlled(model.win_rate, math.nan)
    predicted = 100.0 * model.at_equal_lengths(np.asarray(difficulty, dtype=np.float64))
    w = np.ones_like(predicted) if weights is None else np.asarray(weights, dtype=np.float64)
    mean, total = float(w @ predicted / w.sum()), float(w.sum())
    spread = float(w @ (predicted - mean) ** 2)
    return LengthControlled(mean, math.sqrt(spread / (total - 1) / total) if total > 1 else math.nan)


def length_controlled_win_rate(
    outcomes: ArrayLike,
    lengths: ArrayLike,
    opponent_lengths: ArrayLike,
    *,
    difficulty: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    prior: LengthPrior | None = None,
) -> float:
    """The `win_rate` of `length_controlled`, in percent. AlpacaEval's own, for its 805 prompts in their order:

    ```
    length_controlled_win_rate(preferences - 1, lengths, baseline_lengths, difficulty=alpaca_eval_difficulty())
    ```
    """
    found = length_controlled(outcomes, lengths, opponent_lengths, difficulty=difficulty, weights=weights, prior=prior)
    return found.win_rate


def map_coefficients(
    q: Floats, feature: Floats, d: Floats, w: Floats, prior: LengthPrior
) -> tuple[float, float, float]:
    """Maximum a posteriori of `(intercept, slope, difficulty)`, by Newton's method with halved steps.

    The objective is strictly concave, so this is its maximum. Vectors of shape `[N]`.
    """
    design = np.stack([np.ones_like(feature), feature, d], axis=1)
    mean = np.array([0.0, prior.slope, prior.difficulty])
    precision = np.array([RIDGE, prior.slope_precision, prior.difficulty_precision])

    def objective(theta: Floats) -> float:
        logits = design @ theta
        return float(w @ (q * logits - np.logaddexp(0, logits)) - (precision / 2) @ (theta - mean) ** 2)

    theta = mean.copy()
    value = objective(theta)
    for _ in range(MAX_STEPS):
        p = sigmoid(design @ theta)
        gradient = design.T @ (w * (q - p)) - precision * (theta - mean)
        if np.abs(gradient).max() < TOLERANCE * max(1, q.size):
            break
        hessian = (design * (w * p * (1 - p))[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (new := objective(theta + size * step)) < value and size > 1e-12:
            size /= 2
        theta, value = theta + size * step, new
    return float(theta[0]), float(theta[1]), float(theta[2])


def sigmoid(x: Floats) -> Floats:
    """`1 / (1 + e^−x)`, without overflow."""
    return np.exp(-np.logaddexp(0, -x))
