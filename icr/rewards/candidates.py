"""Scored responses on their way to pairs: grouped by prompt, gated, laid out as arrays, compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from icr.types import ScoredResponse

UNITS = ("tokens", "characters", "bytes")


def group_by_prompt(responses: Iterable[ScoredResponse]) -> dict[str, dict[str, list[ScoredResponse]]]:
    """`[language][prompt id]` → that prompt's responses by ascending `k`; languages and prompts in order of appearance.

    Raises:
        ValueError: where a usable response's reward is not finite, or a prompt has two responses of one `k`; id,
            language and `k` are named.
    """
    groups: dict[str, dict[str, dict[int, ScoredResponse]]] = {}
    for response in responses:
        where = f"prompt {response.id!r}, language {response.language!r}, k {response.k}"
        if response.usable and not math.isfinite(response.reward):
            raise ValueError(f"reward must be finite, got {response.reward} for {where}")
        prompt = groups.setdefault(response.language, {}).setdefault(response.id, {})
        if response.k in prompt:
            raise ValueError(f"two scored responses for {where}")
        prompt[response.k] = response
    return {
        language: {id: [prompt[k] for k in sorted(prompt)] for id, prompt in prompts.items()}
        for language, prompts in groups.items()
    }


def apply_gate(
    responses: Iterable[ScoredResponse],
    texts: Mapping[tuple[str, str, int], str],
    gate: Callable[[str, str], bool],
    reason: str,
) -> list[ScoredResponse]:
    """The responses, those whose `gate(language, text)` is false made unusable for `reason`.

    Put before length control and pairing, so that both see the same candidates. A gate is any check of one response by
    itself, such as language identification. What was unusable before keeps its reason and is not asked about.

    Args:
        responses: scored responses of any prompts and languages.
        texts: decoded text of each, by `(id, language, k)`.
        gate: true where the response may stay.
        reason: what `ScoredResponse.reason` is to say of the others.

    Raises:
        KeyError: where a usable response has no text.
    """
    return [
        replace(response, usable=False, reason=reason)
        if response.usable and not gate(response.language, texts[response.id, response.language, response.k])
        else response
        for response in responses
    ]


@dataclass(frozen=True, slots=True)
class CandidateTable:
    """`N` groups of responses as arrays; rows with fewer than `K` responses are filled up with unusable ones.

    Attributes:
        rewards: `r`, in nats; 0 where not usable. Shape `[N, K]`, float64.
        lengths: in the unit asked for. Shape `[N, K]`, int64.
        usable: Shape `[N, K]`, bool.
        texts: the same number for the same text within a row; all different where texts do not matter. Shape `[N, K]`,
            int64.
        second: another reward of the same responses; NaN where there is none. Shape `[N, K]`, float64.
    """

    rewards: np.ndarray
    lengths: np.ndarray
    usable: np.ndarray
    texts: np.ndarray
    second: np.ndarray

    def rows(self, which: np.ndarray) -> CandidateTable:
        """Some of the groups, by number or as a mask."""
        parts = (self.rewards, self.lengths, self.usable, self.texts, self.second)
        return CandidateTable(*(part[which] for part in parts))


def tabulate(
    groups: Sequence[Sequence[ScoredResponse]],
    unit: str,
    texts: Mapping[tuple[str, str, int], str] | None = None,
    second: Mapping[tuple[str, str, int], float] | None = None,
) -> CandidateTable:
    """Rewards, lengths in `unit`, usability, equal texts and second rewards of each group's responses, in the order
    given.
    """
    shape = (len(groups), max(map(len, groups), default=0))
    rewards, lengths, usable = np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, bool)
    same, others = np.tile(np.arange(shape[1]), (shape[0], 1)), np.full(shape, np.nan)
    for n, responses in enumerate(groups):
        first: dict[str, int] = {}
        for k, response in enumerate(responses):
            if response.usable:
                rewards[n, k], lengths[n, k], usable[n, k] = response.reward, getattr(response, unit), True
                name = response.id, response.language, response.k
                if texts is not None:
                    same[n, k] = first.setdefault(texts[name], k)
                if second is not None:
                    others[n, k] = second[name]
    return CandidateTable(rewards, lengths, usable, same, others)


def comparable(table: CandidateTable) -> np.ndarray:
    """Which prompts can give a pair at all: two usable responses or more, of unequal reward. Shape `[N]`, bool."""
    best = np.where(table.usable, table.rewards, -np.inf).max(axis=-1, initial=-np.inf)
    worst = np.where(table.usable, table.rewards, np.inf).min(axis=-1, initial=np.inf)
    unequal: np.ndarray = best > worst
    return unequal


class Selection(Protocol):
    """Which two candidates of a group are a pair. Length control and pairing both ask it, so that what the one has
    balanced is what the other takes.
    """

    def __call__(
        self, scores: np.ndarray, usable: np.ndarray, upper_bound: float | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Choose by `s`.

        Args:
            scores: `s`, in nats. Shape `[..., K]`, `K` at least 1.
            usable: Shape `[..., K]`, bool.
            upper_bound: chosen must have a lower score; `None` for no bound.

        Returns:
            Index of chosen, index of rejected, and whether they are a pair (the indices mean nothing where not). Shape
            `[...]` each.
        """

    def turns(self, table: CandidateTable) -> np.ndarray:
        """Values of α at which each group's choice may change, besides those at which two candidates cross or one falls
        below the bound; NaN and numbers outside [0, 1) count for nothing. Shape `[N, M]`.
        """


@dataclass(frozen=True, slots=True)
class BestAndWorst:
    """Argmax of the usable scores below the bound, argmin of all the usable ones; ties go to the lowest index.

    No pair where no candidate is below the bound, or none but the rejected one.
    """

    def __call__(
        self, scores: np.ndarray, usable: np.ndarray, upper_bound: float | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Selection`."""
        eligible = usable if upper_bound is None else usable & (scores < upper_bound)
        chosen = np.where(eligible, scores, -np.inf).argmax(axis=-1)
        rejected = np.where(usable, scores, np.inf).argmin(axis=-1)
        return chosen, rejected, eligible.any(axis=-1) & (chosen != rejected)

    def turns(self, table: CandidateTable) -> np.ndarray:
        """None besides: the order of two candidates changes where they cross."""
        return np.zeros((len(table.rewards), 0))


BEST_AND_WORST = BestAndWorst()


@dataclass(frozen=True, slots=True)
class PairRules:
    """Which two candidates of a group a strategy makes a pair of, and which of these pairs it does not take.

    Attributes:
        minimum_margin: not those whose scores `s` differ by less than this, nats; `None` for no such rule.
        texts: not those whose texts, by `(id, language, k)`, are the same; `None` for no such rule.
        select: the two candidates.
        second: not those that another reward does not order the same way, after the same penalty; its values by
            `(id, language, k)`, nats, NaN where it has none. `None` for no such rule.
    """

    minimum_margin: float | None = None
    texts: Mapping[tuple[str, str, int], str] | None = None
    select: Selection = BEST_AND_WORST
    second: Mapping[tuple[str, str, int], float] | None = None


ANY_PAIR = PairRules()
