"""Scored responses as arrays, a table per language, and how often two numbers order them alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from icr.judges import TIE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from icr.types import Response, ScoredResponse

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Responses to the prompts of one language, scored under one reward prompt: `N` prompts, up to `K` responses each.

    Attributes:
        ids: of the prompts. Length `N`.
        rewards: `r`, in nats; NaN where there is none. Shape `[N, K]`.
        policy_logps, reference_logps: `log π(y|x)` under the reward prompt, in nats; NaN where there is none.
        tokens: length, end-of-turn token included.
        lengths: length in the unit of length control.
        usable: whether the response may be chosen or rejected.
        texts: the same number for the same text, −1 where there is no response.
        cut: whether the token limit ended the response.
    """

    ids: Sequence[str]
    rewards: Floats
    policy_logps: Floats
    reference_logps: Floats
    tokens: Floats
    lengths: Floats
    usable: NDArray[np.bool_]
    texts: NDArray[np.int64]
    cut: NDArray[np.bool_]

    @property
    def there(self) -> NDArray[np.bool_]:
        """Where there is a response. Shape `[N, K]`."""
        return self.texts >= 0

    def responses(self, first: int, last: int) -> Samples:
        """The responses `first ≤ k < last` of every prompt."""
        arrays = (getattr(self, field.name)[:, first:last] for field in fields(self) if field.name != "ids")
        return Samples(self.ids, *arrays)


def tabulated(
    responses: Sequence[Response], scored: Sequence[ScoredResponse], units: Mapping[str, str]
) -> dict[str, Samples]:
    """The table of each language, languages and prompts in order of appearance.

    Args:
        responses: several per prompt.
        scored: their rewards, in the same order.
        units: of length, by language: `tokens`, `characters` or `bytes`; where none is given, `tokens`.
    """
    rows: dict[str, dict[str, list[int]]] = {}
    for index, response in enumerate(responses):
        rows.setdefault(response.language, {}).setdefault(response.id, []).append(index)
    return {code: _table(of, responses, scored, units.get(code, "tokens")) for code, of in rows.items()}


def _table(
    of_prompt: Mapping[str, list[int]], responses: Sequence[Response], scored: Sequence[ScoredResponse], unit: str
) -> Samples:
    shape = (len(of_prompt), max(map(len, of_prompt.values())))
    places = [n * shape[1] + k for n, indices in enumerate(of_prompt.values()) for k in range(len(indices))]
    order = [index for indices in of_prompt.values() for index in indices]
    codes: dict[str, int] = {}

    def laid(values: Sequence[Any], missing: Any) -> NDArray[Any]:
        flat = np.full(shape[0] * shape[1], missing)
        flat[places] = values
        return flat.reshape(shape)

    return Samples(
        ids=list(of_prompt),
        rewards=laid([scored[i].reward for i in order], math.nan),
        policy_logps=laid([scored[i].policy_logp for i in order], math.nan),
        reference_logps=laid([scored[i].reference_logp for i in order], math.nan),
        tokens=laid([float(scored[i].tokens) for i in order], math.nan),
        lengths=laid([float(getattr(scored[i], unit)) for i in order], math.nan),
        usable=laid([scored[i].usable for i in order], False),
        texts=laid([codes.setdefault(responses[i].text, len(codes)) for i in order], -1),
        cut=laid([responses[i].finish_reason == "length" for i in order], False),
    )


def differences(values: Floats) -> Floats:
    """`v_i − v_j` of every two responses to a prompt, `i < j`. Shape `[N, K·(K−1)/2]`."""
    first, second = np.triu_indices(values.shape[1], k=1)
    return values[:, first] - values[:, second]


def both(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether both of every two responses are in `mask`. Shape `[N, K·(K−1)/2]`."""
    first, second = np.triu_indices(mask.shape[1], k=1)
    return mask[:, first] & mask[:, second]


def signs(values: Floats, within: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Order of every two responses: 1 where the first has the higher value, −1, or 0 where equal (by `TIE`) or missing.

    Args:
        within: responses that take part. Shape `[N, K]`.
    """
    difference = differences(np.where(within, values, np.nan))
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(difference) > TIE, np.sign(difference), 0).astype(np.int8)


def agreed(values: Floats, target: Floats, within: NDArray[np.bool_], tie: float) -> tuple[Floats, Floats]:
    """Of each prompt, how many comparisons that `target` decides the values order as it does, and how many there are.

    Args:
        tie: what a comparison counts in which the values are equal: 0, or a half.

    Returns:
        Shape `[N]` each.
    """
    ours, theirs = signs(values, within), signs(target, within)
    decided = theirs != 0
    hits = (ours == theirs) + tie * (ours == 0)
    return (hits * decided).sum(axis=1).astype(np.float64), decided.sum(axis=1).astype(np.float64)


def rank_correlation(one: Floats, other: Floats, within: NDArray[np.bool_]) -> float:
    """Kendall's τ_b of two numbers within prompts, over the comparisons of all prompts together.

    `τ = Σ sign(a_i − a_j)·sign(b_i − b_j) / √(#{a_i ≠ a_j} · #{b_i ≠ b_j})`: 1 where both order all responses alike,
    −1 where they order them the other way round; NaN where either orders nothing.
    """
    a, b = signs(one, within).astype(np.int64), signs(other, within).astype(np.int64)
    scale = math.sqrt(float(np.count_nonzero(a)) * float(np.count_nonzero(b)))
    return float((a * b).sum() / scale) if scale else math.nan
