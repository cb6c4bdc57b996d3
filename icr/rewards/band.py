"""Best against a band: the rejected response is a poor one, and not the poorest of all.

The worst of many samples is an outlier, from which less is learnt the more samples there are (Xiao et al. 2025, arXiv
2502.16825, beyond about thirty). CroCo (jjzha/CroCo) takes the same band.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from icr.checks import require_number
from icr.rewards.pairing import Candidates, check_margin, decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from icr.rewards.candidates import CandidateTable
    from icr.types import ScoredResponse


@dataclass(frozen=True)
class BandSelection:
    """Chosen is the argmax of `s`, rejected the usable one below it that is nearest to `mean(s) − d·sd(s)`.

    Mean and standard deviation (of the population) are over the usable candidates of a group; ties go to the lowest
    index. See `icr.rewards.candidates.Selection`.

    Attributes:
        deviations: `d`.
    """

    deviations: float

    def __call__(
        self, scores: np.ndarray, usable: np.ndarray, upper_bound: float | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Index of chosen, index of rejected, and whether they are a pair. Shape `[...]` each."""
        usable = np.broadcast_to(usable, scores.shape)
        eligible = usable if upper_bound is None else usable & (scores < upper_bound)
        chosen = np.where(eligible, scores, -np.inf).argmax(axis=-1)
        best = np.take_along_axis(scores, chosen[..., None], axis=-1)
        below = usable & (scores < best)
        count = np.maximum(usable.sum(axis=-1, keepdims=True), 1)
        mean = np.where(usable, scores, 0).sum(axis=-1, keepdims=True) / count
        variance = np.where(usable, (scores - mean) ** 2, 0).sum(axis=-1, keepdims=True) / count
        distance = np.abs(scores - (mean - self.deviations * np.sqrt(variance)))
        rejected = np.where(below, distance, np.inf).argmin(axis=-1)
        pair = np.asarray(eligible.any(axis=-1) & below.any(axis=-1))
        return chosen, rejected, pair

    def turns(self, table: CandidateTable) -> np.ndarray:
        """Values of α at which two candidates are equally far from the band. Shape `[N, 2·K(K − 1)/2]`, NaN for none.

        `|s_i − t| = |s_j − t|`, where the two do not cross, is `(s_i + s_j)/2 = mean − d·sd`. With `s = r − α·y` both
        `u = mean − (s_i + s_j)/2` and `d²·var` are polynomials in α, and `u² = d²·var` is a quadratic equation.
        """
        first, second = np.triu_indices(table.rewards.shape[1], 1)
        count = np.maximum(table.usable.sum(axis=1), 1)
        rewards, lengths = (np.where(table.usable, part, 0).astype(float) for part in (table.rewards, table.lengths))
        mean_r, mean_y = rewards.sum(axis=1) / count, lengths.sum(axis=1) / count
        off_r, off_y = (
            np.where(table.usable, part - mean[:, None], 0) for part, mean in ((rewards, mean_r), (lengths, mean_y))
        )
        squares = [
            self.deviations**2 * (a * b).sum(axis=1) / count
            for a, b in ((off_y, off_y), (off_r, off_y), (off_r, off_r))
        ]
        u_r, u_y = (
            mean[:, None] - (part[:, first] + part[:, second]) / 2
            for part, mean in ((rewards, mean_r), (lengths, mean_y))
        )
        a, half_b, c = u_y**2 - squares[0][:, None], squares[1][:, None] - u_r * u_y, u_r**2 - squares[2][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            root = np.sqrt(half_b**2 - a * c)
            # The two roots in the form that does not cancel; q/a and c/q.
            q = -(half_b + np.where(half_b < 0, -root, root))
            points = np.concatenate([q / a, c / q], axis=1)
        both = np.tile(table.usable[:, first] & table.usable[:, second], 2)
        return np.where(both, points, np.nan)


@dataclass(frozen=True)
class Band:
    """Chosen = argmax of `s_k = r_k − α_len·|y_k|`; rejected = the sample below it nearest to `mean − d·sd` of the `s`.

    With ten samples the band is often beyond the worst, and the pair that of `BestWorst`; with a hundred it is not.

    Attributes:
        deviations: `d`, at least 0: how many standard deviations below the mean.
        minimum_margin, drop_duplicates: as `BestWorst` has them.

    Raises:
        ValueError: `deviations` is not a finite number of at least 0; as `BestWorst` otherwise.
    """

    deviations: float = 2.0
    minimum_margin: float | None = None
    drop_duplicates: bool = False

    def __post_init__(self) -> None:
        require_number("deviations", self.deviations, least=0)
        check_margin(self.minimum_margin)

    @property
    def select(self) -> BandSelection:
        """The best, and the one that is nearest to the band."""
        return BandSelection(self.deviations)

    def compared(self, responses: Sequence[ScoredResponse]) -> list[Sequence[ScoredResponse]]:
        """All of them, in one group."""
        return [responses]

    def __call__(self, candidates: Candidates) -> list[tuple[int, int] | str]:
        """One entry: the pair, or why there is none."""
        return [decide(self, candidates, candidates.responses)]
