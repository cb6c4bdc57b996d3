"""How far a judge's two orders agree: flips, and Cohen's κ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def outcome(preferences: ArrayLike) -> NDArray[np.float64]:
    """1 for a win (`q > 0.5`), 0 for a tie, −1 for a loss; NaN where there is no verdict."""
    return np.sign(np.asarray(preferences, dtype=np.float64) - 0.5)


def flip_rate(shown_first: ArrayLike, shown_second: ArrayLike) -> float:
    """Percent of the comparisons decided in both orders in which the orders name different winners.

    A tie in either order is not decided, so that it is neither a flip nor agreement. NaN where none is decided.

    Args:
        shown_first, shown_second: `q` where the answer was shown first and second; NaN without a verdict. Shape `[N]`.
    """
    first, second = outcome(shown_first), outcome(shown_second)
    decided = np.abs(first * second) == 1
    return float(100.0 * (first != second)[decided].mean()) if decided.any() else math.nan


def order_kappa(shown_first: ArrayLike, shown_second: ArrayLike) -> float:
    """Cohen's κ `(p_o − p_e)/(1 − p_e)` between the two orders, as win, tie or loss (Cohen 1960).

    `p_o` is the share of comparisons with the same outcome in both orders, `p_e = Σ_c p_c·p'_c` what their marginal
    shares would give by chance. Over comparisons that have a verdict in both; NaN where there is none, or all outcomes
    are the same.
    """
    first, second = outcome(shown_first), outcome(shown_second)
    both = ~np.isnan(first) & ~np.isnan(second)
    first, second = first[both], second[both]
    if first.size == 0:
        return math.nan
    observed = float((first == second).mean())
    chance = sum(float((first == kind).mean() * (second == kind).mean()) for kind in (-1, 0, 1))
    return (observed - chance) / (1 - chance) if chance < 1 else math.nan
