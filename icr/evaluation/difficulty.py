"""How hard a prompt is to win on: the table of AlpacaEval's 805, and difficulties fitted to the models compared."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from icr.errors import DataError
from icr.evaluation.length_controlled import LEADERBOARD, LengthPrior, length_feature, map_coefficients, sigmoid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PRECISION = 0.25  # of the normal prior of a difficulty around 0
TABLE = "alpaca_eval_difficulty.csv"
MAX_STEPS = 500
TOLERANCE = 1e-5


@cache
def _table() -> tuple[float, ...]:
    lines = files("icr.evaluation").joinpath(TABLE).read_text(encoding="utf-8").split()
    return tuple(float(line.split(",")[1]) for line in lines[1:])


def alpaca_eval_difficulty() -> Floats:
    """Difficulty of AlpacaEval's 805 prompts in their order, estimated from public verdicts. Shape `[805]`, in logits.

    X-AlpacaEval translates them in this order, so that its prompt with `id` 1 is the first. The higher, the more
    does a model win on it; made by `experiments/length_control`.
    """
    return np.array(_table())


def by_prompt_id(ids: Sequence[str]) -> Floats:
    """Difficulty of X-AlpacaEval's prompts by id, from 1 to 805.

    Raises:
        DataError: an id is another.
    """
    table = {str(number): value for number, value in enumerate(_table(), start=1)}
    unknown = next((id for id in ids if id not in table), None)
    if unknown is not None:
        raise DataError(
            f"difficulty=alpaca_eval has the 805 prompts of AlpacaEval, with ids from 1 to 805, and none with id "
            f"{unknown!r}. For other prompts take difficulty=joint, or difficulty=null."
        )
    return np.array([table[id] for id in ids])


@dataclass(frozen=True)
class Verdicts:
    """What joint estimation needs to know of one model.

    Attributes:
        prompts: of each comparison. Length `N`.
        outcomes: `q` in [0, 1]. Shape `[N]`.
        lengths, opponent_lengths: of the two answers. Shape `[N]`.
        weights: of the comparisons. Shape `[N]`.
    """

    prompts: Sequence[Hashable]
    outcomes: Floats
    lengths: Floats
    opponent_lengths: Floats
    weights: Floats


def joint_difficulty(
    models: Sequence[Verdicts], *, prior: LengthPrior = LEADERBOARD, precision: float = PRECISION
) -> dict[Hashable, float]:
    """Difficulties that all models share, fitted with the coefficients of each model: maximum a posteriori.

    Alternates between the coefficients given the difficulties, and the difficulties given the coefficients, which
    never lowers the posterior. The prior of the difficulties is `N(0, 1/precision)`.

    Args:
        models: at least two.

    Returns:
        By prompt, in order of appearance; 0 is the prior's mean.

    Raises:
        ValueError: a single model, whose verdicts cannot tell a hard prompt from a bad answer.
    """
    if len(models) < 2:
        raise ValueError("difficulties are fitted to at least two models, and one was given")
    number = {prompt: n for n, prompt in enumerate(dict.fromkeys(p for m in models for p in m.prompts))}
    rows = [np.array([number[prompt] for prompt in model.prompts], dtype=np.intp) for model in models]
    features = [length_feature(m.lengths, m.opponent_lengths, m.weights)[0] for m in models]
    parts = list(zip(models, rows, features, strict=True))
    d = np.zeros(len(number))
    for _ in range(MAX_STEPS):
        coefficients = [map_coefficients(m.outcomes, x, d[row], m.weights, prior) for m, row, x in parts]
        before = d
        d = prompt_difficulty(
            np.concatenate(rows),
            np.concatenate([m.outcomes for m in models]),
            np.concatenate([c[0] + c[1] * x for c, x in zip(coefficients, features, strict=True)]),
            np.concatenate([np.full(row.size, c[2]) for c, row in zip(coefficients, rows, strict=True)]),
            weights=np.concatenate([m.weights for m in models]),
            prompts=len(number),
            precision=precision,
        )
        if np.abs(d - before).max() < TOLERANCE:
            break
    return dict(zip(number, d.tolist(), strict=True))


def prompt_difficulty(
    rows: NDArray[np.intp],
    outcomes: Floats,
    offsets: Floats,
    slopes: Floats,
    *,
    prompts: int,
    weights: Floats | None = None,
    precision: float = PRECISION,
) -> Floats:
    """Maximum a posteriori of each prompt's `d` in `P(win) = σ(offset + slope · d)`, `d ~ N(0, 1/precision)`.

    Newton's method on all prompts at once, each of which has a strictly concave objective.

    Args:
        rows: number of the prompt of each comparison. Shape `[N]`.
        outcomes, offsets, slopes, weights: of each comparison; no weights weigh all with 1. Shape `[N]`.
        prompts: how many there are.
        precision: of the prior.

    Returns:
        Shape `[prompts]`.
    """
    d, w = np.zeros(prompts), np.ones_like(outcomes) if weights is None else weights
    for _ in range(MAX_STEPS):
        p = sigmoid(offsets + slopes * d[rows])
        gradient = np.bincount(rows, w * slopes * (outcomes - p), prompts) - precision * d
        curvature = np.bincount(rows, w * slopes**2 * p * (1 - p), prompts) + precision
        step = np.clip(gradient / curvature, -1, 1)
        d = d + step
        if np.abs(step).max() < 1e-9:
            break
    return d
