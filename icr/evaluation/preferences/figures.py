"""From log-probs of labelled answers to figures of each model, and to differences between models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from icr.evaluation.preferences.logps import PairLogps
from icr.evaluation.row_means import MEAN, RowMeans
from icr.judges import TIE
from icr.metrics import PreferenceFigure
from icr.rundir.measured import Difference, Figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Columns = dict[PreferenceFigure, "Floats"]
"""What each row adds to a figure. Shape `[R]` each."""

AGAINST_BASE = (
    PreferenceFigure.ACCURACY,
    PreferenceFigure.ACCURACY_GIVEN,
    PreferenceFigure.TIES,
    PreferenceFigure.MARGIN,
)
"""What a model has none of that is the base itself."""

MEASURED = (
    *AGAINST_BASE,
    PreferenceFigure.LIKELIER,
    PreferenceFigure.LIKELIER_GIVEN,
    PreferenceFigure.BASE_LIKELIER,
    PreferenceFigure.BASE_LESS_LIKELY,
    PreferenceFigure.CHOSEN_LOGP,
    PreferenceFigure.REJECTED_LOGP,
)
"""All that is measured on rows, in the order of tables."""

COMPARED = (
    PreferenceFigure.ACCURACY,
    PreferenceFigure.ACCURACY_GIVEN,
    PreferenceFigure.MARGIN,
    PreferenceFigure.LIKELIER,
    PreferenceFigure.CHOSEN_LOGP,
    PreferenceFigure.REJECTED_LOGP,
)
"""What models are compared by: all others follow from the base alone, or say little by themselves."""


def columns(own: Sequence[PairLogps], base: Sequence[PairLogps]) -> Columns:
    """What each row says of a model, given its log-probs and the base's; shares as 0 and 100.

    With `ρ(y) = log π(y|x) − log π_base(y|x)`, `y_w` chosen and `y_l` rejected, and `ρ_n` over the first `n` tokens, a
    row is right at equal length where `ρ_n(y_w) − ρ_n(y_l) > 0`, and as given where `ρ(y_w) − ρ(y_l) > 0`. Equal is
    wrong. The margin is `(ρ_n(y_w) − ρ_n(y_l)) / n`. A model whose every log-ratio is 0 is the base itself, and has no
    figures against it.

    Args:
        own, base: of the same rows, in the same order.
    """
    (heads, whole), (base_heads, base_whole) = _logps(own), _logps(base)
    tokens = np.array([(row.chosen_tokens, row.rejected_tokens) for row in own], dtype=np.float64)
    lengths = np.array([row.head_tokens for row in own], dtype=np.float64)
    margin, given = _over(heads - base_heads), _over(whole - base_whole)
    found: Columns = {}
    if max(np.abs(heads - base_heads).max(), np.abs(whole - base_whole).max()) > TIE:
        found = {
            PreferenceFigure.ACCURACY: _share(margin > TIE),
            PreferenceFigure.ACCURACY_GIVEN: _share(given > TIE),
            PreferenceFigure.TIES: _share(np.abs(margin) <= TIE),
            PreferenceFigure.MARGIN: margin / lengths,
        }
    return found | {
        PreferenceFigure.LIKELIER: _share(_over(heads) > TIE),
        PreferenceFigure.LIKELIER_GIVEN: _share(_over(whole) > TIE),
        PreferenceFigure.BASE_LIKELIER: _share(_over(base_heads) > TIE),
        PreferenceFigure.BASE_LESS_LIKELY: _share(_over(base_heads) < -TIE),
        PreferenceFigure.CHOSEN_LOGP: (whole / tokens)[:, 0],
        PreferenceFigure.REJECTED_LOGP: (whole / tokens)[:, 1],
    }


def figures(found: Columns, means: RowMeans) -> Figures:
    """Figures of one model by language, each with `<figure>_low` and `<figure>_high`, its 95 % interval.

    What the model has no columns of is NaN.
    """
    figures: Figures = {}
    for name in MEASURED:
        if name not in found:
            figures[str(name)] = dict.fromkeys([MEAN, *means.languages], math.nan)
        else:
            figures |= means.figures(str(name), found[name], percent=name.unit == "%")
    figures[str(PreferenceFigure.PROMPTS)] = {code: float(means.prompts(code)) for code in means.languages}
    figures[str(PreferenceFigure.ROWS)] = {code: float(means.rows_in(code)) for code in means.languages}
    return figures


def differences(found: Mapping[str, Columns], means: RowMeans, baseline: str | None) -> list[Difference]:
    """Paired differences of `COMPARED`, row by row, prompts being drawn with their rows in all languages.

    Args:
        found: columns by model.
        baseline: each model less this one; None takes all pairs, the later less the earlier.
    """
    rows = []
    for figure in COMPARED:
        there = {name: own[figure] for name, own in found.items() if figure in own}
        rows += means.compared(str(figure), there, baseline)
    return rows


def _logps(rows: Sequence[PairLogps]) -> tuple[Floats, Floats]:
    """`log π` of chosen and rejected at equal length, and whole. Shape `[R, 2]` each."""
    heads = np.array([(row.chosen_head_logp, row.rejected_head_logp) for row in rows], dtype=np.float64)
    return heads, np.array([(row.chosen_logp, row.rejected_logp) for row in rows], dtype=np.float64)


def _over(values: Floats) -> Floats:
    """Of chosen less that of rejected. `[R, 2]` → `[R]`."""
    return values[:, 0] - values[:, 1]


def _share(hits: NDArray[np.bool_]) -> Floats:
    return 100.0 * hits.astype(np.float64)
