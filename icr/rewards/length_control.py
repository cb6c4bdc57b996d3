"""Length control: the penalty per unit of length at which chosen and rejected responses are equally long on average."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from icr.checks import require_number, require_one_of
from icr.rewards.candidates import ANY_PAIR, UNITS, CandidateTable, PairRules, comparable, tabulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from icr.types import ScoredResponse

MIN_WIDTH = 1e-9
"""Intervals of α narrower than this are passed over: in their middle, rounding of `s` could still flip a choice."""

_BLOCK = 4_000_000
"""Numbers in the largest temporary array."""


@dataclass(frozen=True, slots=True)
class LengthControlResult:
    """One language's penalty, and the curve that it was taken from.

    Mean lengths are over the pairs, in `unit`; NaN where there is none.

    Attributes:
        unit: of lengths: `"tokens"`, `"characters"` or `"bytes"`.
        upper_bound: chosen must have `s` below it, nats; `None` without one.
        alpha: `α_len`, nats per unit, in [0, 1).
        bias_before, bias_after: mean length of chosen minus mean length of rejected, at 0 and at `alpha`.
        starts: α at which each interval of the curve starts; it ends where the next one starts, the last at 1. The
            first may be the single point 0, where equal rewards are still tied. Shape `[J]`.
        chosen_length, rejected_length: mean lengths within each interval. Shape `[J]`.
        pairs: their number within each interval. Shape `[J]`.
    """

    unit: str
    upper_bound: float | None
    alpha: float
    bias_before: float
    bias_after: float
    starts: np.ndarray
    chosen_length: np.ndarray
    rejected_length: np.ndarray
    pairs: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """The same as lists and numbers."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


class LengthPenalty(Protocol):
    """Finds one language's `α_len`. Config group `length_control`."""

    def __call__(self, groups: Sequence[Sequence[ScoredResponse]], rules: PairRules = ANY_PAIR) -> LengthControlResult:
        """`α_len` of one language.

        Args:
            groups: what a strategy compares, each by ascending `k`: each gives a pair. For the method's own a group is
                a prompt's responses.
            rules: which two of a group are the pair, and which pairs the strategy does not take.
        """


@dataclass(frozen=True)
class LengthControl:
    """`α_len`: the least α in [0, 1) that minimises |mean length of chosen − mean length of rejected|.

    Chosen is the argmax, rejected the argmin of `s_k = r_k − α·|y_k|` among a group's usable responses; ties go to the
    lowest `k`. The difference is a step function of α, so its steps are computed and not sampled, and the minimum is
    exact. `alpha` is in the middle of the best interval (0 if that is the first), where rounding cannot flip a choice.
    Groups with fewer than two usable responses, or whose rewards are all equal, take no part.

    The minimum is over the pairs that are trained on. Where a strategy makes others than the best and the worst of each
    prompt (two by two, against a band, with a least margin, or those alone that two rewards order the same way), it is
    their lengths that are to be equal, and their α that is found, as exactly.

    Attributes:
        unit: of length: `"tokens"`, `"characters"` or `"bytes"`.
        upper_bound: chosen must have `s` below it, nats (an option of the paper's authors); `None` for no bound. At an
            α where a prompt has no such candidate, it takes no part in the mean.

    Raises:
        ValueError: where `unit` is unknown or `upper_bound` is not finite.
    """

    unit: str = "tokens"
    upper_bound: float | None = None

    def __post_init__(self) -> None:
        _check(self.unit, self.upper_bound)

    def __call__(self, groups: Sequence[Sequence[ScoredResponse]], rules: PairRules = ANY_PAIR) -> LengthControlResult:
        """`α_len` of one language's groups, each a list of scored responses by ascending `k`."""
        table = tabulate(groups, self.unit, rules.texts, rules.second)
        starts, chosen, rejected, pairs = _curve(table, self.upper_bound, rules)
        ends = np.append(starts[1:], 1.0)
        wide = ends - starts > MIN_WIDTH
        # At 0 exactly s is r, which no rounding touches.
        wide[0] = True
        starts, ends, chosen, rejected, pairs = (part[wide] for part in (starts, ends, chosen, rejected, pairs))
        bias = np.where(pairs > 0, np.abs(chosen - rejected) / np.maximum(pairs, 1), np.inf)
        best = int(bias.argmin())
        alpha = float((starts[best] + ends[best]) / 2) if best else 0.0
        return _result(self.unit, self.upper_bound, alpha, best, starts, chosen, rejected, pairs)


@dataclass(frozen=True)
class NoLengthControl:
    """`α_len = 0`: the ablation. The bias is still measured, in `unit`. See `LengthControl` for the attributes."""

    unit: str = "tokens"
    upper_bound: float | None = None

    def __post_init__(self) -> None:
        _check(self.unit, self.upper_bound)

    def __call__(self, groups: Sequence[Sequence[ScoredResponse]], rules: PairRules = ANY_PAIR) -> LengthControlResult:
        """The biases at 0 of one language's groups, each a list of scored responses by ascending `k`."""
        table = tabulate(groups, self.unit, rules.texts, rules.second)
        first = [part[:1] for part in _curve(table, self.upper_bound, rules)]
        return _result(self.unit, self.upper_bound, 0.0, 0, *first)


def not_penalised(
    unit: str, upper_bound: float | None, pairs: Sequence[tuple[ScoredResponse, ScoredResponse]]
) -> LengthControlResult:
    """The bias of pairs (chosen, rejected) that no penalty can change, because `s` has no part in their choice."""
    chosen, rejected = (sum(getattr(pair[side], unit) for pair in pairs) for side in (0, 1))
    parts = (np.array([value], np.int64) for value in (chosen, rejected, len(pairs)))
    return _result(unit, upper_bound, 0.0, 0, np.zeros(1), *parts)


def _curve(table: CandidateTable, upper_bound: float | None, rules: PairRules) -> tuple[np.ndarray, ...]:
    """Starts of the intervals, and within each the summed lengths of chosen and of rejected and the number of pairs.

    Each group's state (length of chosen, length of rejected, 1 if it gives a pair) changes at a few values of α of its
    own; the curve is the running sum of all groups' changes. Sums are of integers, hence exact.
    """
    table = table.rows(comparable(table))
    total, where, change = np.zeros((1, 3), np.int64), [np.zeros(0)], [np.zeros((0, 3), np.int64)]
    count, k = table.rewards.shape
    blocks = math.ceil(count * k**3 / _BLOCK)
    for rows in np.array_split(np.arange(count), blocks) if blocks else []:
        part = table.rows(rows)
        edges = _edges(part, upper_bound, rules)
        middles = (edges[:, :-1] + edges[:, 1:]) / 2
        states = _states(part, np.concatenate([np.zeros((len(rows), 1)), middles], axis=1), upper_bound, rules)
        steps, at = np.diff(states, axis=1), edges[:, :-1]
        real = (steps != 0).any(axis=-1) & (at < 1)
        total = total + states[:, 0].sum(axis=0)
        where.append(at[real])
        change.append(steps[real])
    starts = np.concatenate(where)
    order = starts.argsort(kind="stable")
    starts, sums = (
        np.append(0.0, starts[order]),
        np.cumsum(np.concatenate([total, *change])[np.append(0, order + 1)], axis=0),
    )
    # Of the changes at one α, the state after the last; but 0 itself stays a state of its own.
    last = np.append(starts[1:] != starts[:-1], True)
    last[0] = True
    return starts[last], *sums[last].T


def _edges(table: CandidateTable, upper_bound: float | None, rules: PairRules) -> np.ndarray:
    """Every α in [0, 1] at which a group's choice may change, sorted, from 0 to 1. Shape `[N, M + 2]`.

    The choice changes where two candidates cross, `r_i − α·y_i = r_j − α·y_j`, by either reward, where they are the
    least margin apart, where one falls below the bound, or where the selection says so.
    """
    first, second = np.triu_indices(table.rewards.shape[1], 1)
    gap = table.lengths[:, first] - table.lengths[:, second]
    difference = table.rewards[:, first] - table.rewards[:, second]
    both = table.usable[:, first] & table.usable[:, second]
    apart = [difference]
    if rules.minimum_margin is not None:
        apart += [difference - rules.minimum_margin, difference + rules.minimum_margin]
    if rules.second is not None:
        apart.append(table.second[:, first] - table.second[:, second])
    with np.errstate(divide="ignore", invalid="ignore"):
        points = np.concatenate([np.where(both, values / gap, 1.0) for values in apart], axis=1)
        if upper_bound is not None:
            bounds = np.where(table.usable, (table.rewards - upper_bound) / table.lengths, 1.0)
            points = np.concatenate([points, bounds], axis=1)
    points = np.concatenate([points, rules.select.turns(table)], axis=1)
    # Parallel lines (nan, ±inf) and crossings outside [0, 1) change nothing: to the end with them.
    points = np.where((points >= 0) & (points < 1), points, 1.0)
    count = len(points)
    return np.concatenate([np.zeros((count, 1)), np.sort(points, axis=1), np.ones((count, 1))], axis=1)


def _states(table: CandidateTable, alphas: np.ndarray, upper_bound: float | None, rules: PairRules) -> np.ndarray:
    """Length of chosen, length of rejected and 1, or three zeros where there is no pair. Shape `[N, A, 3]`, int64.

    Args:
        table: `N` groups.
        alphas: values of α to choose at. Shape `[N, A]`.
        upper_bound: see `LengthControl`.
        rules: see `PairRules`.
    """
    penalty = alphas[:, :, None] * table.lengths[:, None, :]
    scores = table.rewards[:, None, :] - penalty
    chosen, rejected, pair = rules.select(scores, table.usable[:, None, :], upper_bound)
    best, worst = (np.take_along_axis(table.texts, index, axis=1) for index in (chosen, rejected))
    pair &= best != worst
    if rules.minimum_margin is not None:
        pair &= _gap(scores, chosen, rejected) >= rules.minimum_margin
    if rules.second is not None:
        pair &= _gap(table.second[:, None, :] - penalty, chosen, rejected) > 0
    lengths = [np.take_along_axis(table.lengths, index, axis=1) for index in (chosen, rejected)]
    states: np.ndarray = np.stack([*lengths, np.ones_like(chosen)], axis=-1) * pair[..., None]
    return states


def _gap(scores: np.ndarray, chosen: np.ndarray, rejected: np.ndarray) -> np.ndarray:
    """`s` of chosen minus `s` of rejected. Shape `[N, A]`."""
    high, low = (np.take_along_axis(scores, index[..., None], axis=2)[..., 0] for index in (chosen, rejected))
    gap: np.ndarray = high - low
    return gap


def _result(
    unit: str,
    upper_bound: float | None,
    alpha: float,
    best: int,
    starts: np.ndarray,
    chosen: np.ndarray,
    rejected: np.ndarray,
    pairs: np.ndarray,
) -> LengthControlResult:
    with np.errstate(invalid="ignore"):
        chosen_length, rejected_length = chosen / pairs, rejected / pairs
    bias = chosen_length - rejected_length
    return LengthControlResult(
        unit=unit,
        upper_bound=upper_bound,
        alpha=alpha,
        bias_before=float(bias[0]),
        bias_after=float(bias[best]),
        starts=starts,
        chosen_length=chosen_length,
        rejected_length=rejected_length,
        pairs=pairs,
    )


def _check(unit: str, upper_bound: float | None) -> None:
    require_one_of("unit", unit, UNITS)
    if upper_bound is not None:
        require_number("upper_bound", upper_bound, otherwise="or None")
