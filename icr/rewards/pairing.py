"""From scored responses to preference pairs: strategies that choose for one prompt, and the count of what gave none."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from icr.checks import require_integer, require_number
from icr.rewards.candidates import BEST_AND_WORST, PairRules, Selection, comparable, group_by_prompt, tabulate
from icr.rewards.length_control import not_penalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from icr.rewards.length_control import LengthControlResult, LengthPenalty
    from icr.types import ScoredResponse

TOO_FEW = "fewer than two usable"
ALL_EQUAL = "all rewards equal"
SAME_TEXT = "chosen equals rejected"
NONE_BELOW = "no candidate below upper_bound"
SMALL_MARGIN = "margin too small"
DISAGREE = "rewards disagree"


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a strategy may look at for one prompt.

    Attributes:
        responses: the prompt's scored responses by ascending `k`, unusable ones among them; at least one.
        alpha: the language's `α_len`, nats per `unit`.
        unit: of length: `"tokens"`, `"characters"` or `"bytes"`.
        upper_bound: chosen must have `s = r − α_len·|y|` below it, nats; `None` without one.
        texts: decoded text of each response by `k`; `None` where the caller has none.
        round: the round `t`, which a random strategy draws anew in.
        second: another reward of each response by `k`, nats, which has to order a pair the same way after the same
            penalty; NaN where it has none. `None` where there is no such reward.
    """

    responses: Sequence[ScoredResponse]
    alpha: float = 0.0
    unit: str = "tokens"
    upper_bound: float | None = None
    texts: Mapping[int, str] | None = None
    round: int = 0
    second: Mapping[int, float] | None = None


class Pairing(Protocol):
    """Chooses a prompt's pairs. Config group `pairing`.

    Attributes:
        minimum_margin, drop_duplicates: as `BestWorst` has them.
        select: which two of a group are the pair.
    """

    @property
    def select(self) -> Selection: ...

    @property
    def minimum_margin(self) -> float | None: ...

    @property
    def drop_duplicates(self) -> bool: ...

    def compared(self, responses: Sequence[ScoredResponse]) -> list[Sequence[ScoredResponse]]:
        """The groups of a prompt's responses that give a pair each, by `s`; none where `s` has no part in it.

        Length control finds the α at which the pairs of these groups are equally long.
        """

    def __call__(self, candidates: Candidates) -> list[tuple[int, int] | str]:
        """One entry for each pair attempted: `(chosen k, rejected k)`, or the reason why there is none."""


@dataclass(frozen=True)
class BestWorst:
    """The method's pair: chosen = argmax, rejected = argmin of `s_k = r_k − α_len·|y_k|`; ties go to the lowest `k`.

    Attributes:
        minimum_margin: least `s` of chosen minus `s` of rejected, nats, at least 0; `None` for no gate.
        drop_duplicates: no pair where both texts are the same.

    Raises:
        ValueError: where `minimum_margin` is not a finite number of at least 0; on a call, where `drop_duplicates` is
            on and there are no texts.
    """

    minimum_margin: float | None = None
    drop_duplicates: bool = False

    select: ClassVar[Selection] = BEST_AND_WORST

    def __post_init__(self) -> None:
        check_margin(self.minimum_margin)

    def compared(self, responses: Sequence[ScoredResponse]) -> list[Sequence[ScoredResponse]]:
        """All of them, in one group."""
        return [responses]

    def __call__(self, candidates: Candidates) -> list[tuple[int, int] | str]:
        """One entry: the pair, or why there is none."""
        return [decide(self, candidates, candidates.responses)]


@dataclass(frozen=True)
class DisjointPairs:
    """Candidates 0 and 1, 2 and 3, … each a pair ordered by `s`: as many independent comparisons as the samples hold.

    For judged samples, as in English DPO. An odd last candidate is left out. The attributes are those of `BestWorst`.
    """

    minimum_margin: float | None = None
    drop_duplicates: bool = False

    select: ClassVar[Selection] = BEST_AND_WORST

    def __post_init__(self) -> None:
        check_margin(self.minimum_margin)

    def compared(self, responses: Sequence[ScoredResponse]) -> list[Sequence[ScoredResponse]]:
        """Two by two."""
        return [responses[i : i + 2] for i in range(0, max(len(responses) - 1, 1), 2)]

    def __call__(self, candidates: Candidates) -> list[tuple[int, int] | str]:
        """An entry for every two candidates, and one for a prompt that has only one."""
        return [decide(self, candidates, two) for two in self.compared(candidates.responses)]


@dataclass(frozen=True)
class RandomPair:
    """Two different usable candidates at random: the control for what the reward adds. Rewards are not looked at.

    Attributes:
        seed: the draw is a function of `(seed, round, language, prompt id)` and the usable `k` alone.
        drop_duplicates: no pair where both texts are the same.

    Raises:
        ValueError: where `seed` is not an integer; on a call, where `drop_duplicates` is on and there are no texts.
    """

    seed: int
    drop_duplicates: bool = False

    select: ClassVar[Selection] = BEST_AND_WORST

    def __post_init__(self) -> None:
        require_integer("seed", self.seed)

    @property
    def minimum_margin(self) -> None:
        """None: there is no margin where rewards are not looked at."""

    def compared(self, responses: Sequence[ScoredResponse]) -> list[Sequence[ScoredResponse]]:
        """None: `s` has no part in the choice."""
        return []

    def __call__(self, candidates: Candidates) -> list[tuple[int, int] | str]:
        """One entry: the pair, or why there is none."""
        usable = [response for response in candidates.responses if response.usable]
        if len(usable) < 2:
            return [TOO_FEW]
        key = (self.seed, candidates.round, usable[0].language, usable[0].id)
        # A string is hashed the same in every process, which a tuple is not.
        chosen, rejected = random.Random(repr(key)).sample([response.k for response in usable], 2)
        same = self.drop_duplicates and _same_text(candidates, chosen, rejected)
        return [SAME_TEXT if same else (chosen, rejected)]


@dataclass(frozen=True, slots=True)
class Choice:
    """A pair by name: which two samples of the prompt `id` in `language`."""

    id: str
    language: str
    chosen_k: int
    rejected_k: int


@dataclass(frozen=True, slots=True)
class Choices:
    """All pairs of a round, and what gave none.

    Attributes:
        pairs: the pairs; languages, then prompts, in the order in which they first appeared.
        skipped: `skipped[language][reason]` is a count; every language has an entry. For a strategy of one pair per
            prompt, a language's pairs and skips add up to its prompts.
        length_control: each language's `α_len` and curve.
    """

    pairs: list[Choice] = field(default_factory=list)
    skipped: dict[str, dict[str, int]] = field(default_factory=dict)
    length_control: dict[str, LengthControlResult] = field(default_factory=dict)


def choose_pairs(
    responses: Iterable[ScoredResponse],
    pairing: Pairing,
    length_control: LengthPenalty,
    *,
    round: int = 0,
    texts: Mapping[tuple[str, str, int], str] | None = None,
    second: Mapping[tuple[str, str, int], float] | None = None,
) -> Choices:
    """Length control within each language, then `pairing` on each of its prompts.

    `α_len` is found for the pairs that this strategy makes, and the biases are theirs. For one that does not look at
    `s` α is 0, and the bias is that of the pairs drawn.

    Args:
        responses: scored responses of all prompts and languages, in any order. To gate them, see
            `icr.rewards.candidates.apply_gate`.
        pairing: the strategy.
        length_control: finds each language's `α_len`; its unit and upper bound hold for pairing too.
        round: the round `t`.
        texts: decoded text of each response by `(id, language, k)`; needed to drop duplicates.
        second: another reward by `(id, language, k)`; pairs that the two rewards do not order the same way, after one
            penalty, are left out. A strategy that looks at no reward does not look at this one either.

    Raises:
        ValueError: where a usable reward is not finite, or two responses have the same id, language and `k`; they are
            named.
    """
    result = Choices()
    for language, prompts in group_by_prompt(responses).items():
        groups = [group for scored in prompts.values() for group in pairing.compared(scored)]
        rules = PairRules(pairing.minimum_margin, texts if pairing.drop_duplicates else None, pairing.select, second)
        control = length_control(groups, rules)
        skipped: Counter[str] = Counter()
        made: list[tuple[ScoredResponse, ScoredResponse]] = []
        for id, scored in prompts.items():
            own = None if texts is None else {r.k: texts[id, language, r.k] for r in scored if r.usable}
            other = None if second is None else {r.k: second[id, language, r.k] for r in scored}
            candidates = Candidates(scored, control.alpha, control.unit, control.upper_bound, own, round, other)
            by_k = {response.k: response for response in scored}
            for outcome in pairing(candidates):
                if isinstance(outcome, str):
                    skipped[outcome] += 1
                else:
                    chosen, rejected = outcome
                    result.pairs.append(Choice(id, language, chosen, rejected))
                    made.append((by_k[chosen], by_k[rejected]))
        result.skipped[language] = dict(skipped)
        result.length_control[language] = control if groups else not_penalised(control.unit, control.upper_bound, made)
    return result


def decide(strategy: Pairing, candidates: Candidates, responses: Sequence[ScoredResponse]) -> tuple[int, int] | str:
    """`(chosen k, rejected k)` of a group of `responses`, as the strategy selects them, or why they are no pair."""
    table = tabulate([responses], candidates.unit)
    if table.usable.sum() < 2:
        return TOO_FEW
    scores = table.rewards[0] - candidates.alpha * table.lengths[0]
    usable = scores[table.usable[0]]
    if not comparable(table)[0] or usable.max() == usable.min():
        return ALL_EQUAL
    chosen, rejected, pair = strategy.select(scores, table.usable[0], candidates.upper_bound)
    if not pair:
        return NONE_BELOW
    if strategy.minimum_margin is not None and scores[chosen] - scores[rejected] < strategy.minimum_margin:
        return SMALL_MARGIN
    chosen_k, rejected_k = responses[int(chosen)].k, responses[int(rejected)].k
    if strategy.drop_duplicates and _same_text(candidates, chosen_k, rejected_k):
        return SAME_TEXT
    if candidates.second is not None:
        penalty = candidates.alpha * table.lengths[0]
        if not candidates.second[chosen_k] - penalty[chosen] > candidates.second[rejected_k] - penalty[rejected]:
            return DISAGREE
    return chosen_k, rejected_k


def _same_text(candidates: Candidates, chosen_k: int, rejected_k: int) -> bool:
    if candidates.texts is None:
        raise ValueError("drop_duplicates needs the texts of the responses, and none were given")
    return candidates.texts[chosen_k] == candidates.texts[rejected_k]


def check_margin(minimum_margin: float | None) -> None:
    """Raises ValueError unless it is a finite number of at least 0, or None."""
    if minimum_margin is None:
        return
    require_number("minimum_margin", minimum_margin, otherwise="or None")
    require_number("minimum_margin", minimum_margin, least=0)
