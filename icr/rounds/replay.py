"""Replay: a share of a round's pairs comes from earlier rounds, or from English pairs. Config group `replay`.

DICE (Chen et al. 2024, sail-sg/dice, `mix_gamma`) mixes a share γ of earlier pairs into those of a round against
forgetting what it was aligned to, with γ = 0.5 in its runs. As there, the round is mixed, and its order shuffled: a
batch holds γ of its pairs from earlier in expectation, and all of them together exactly.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from icr.checks import require_number
from icr.data import PreferenceFile
from icr.models import Renderer
from icr.rounds import pairs
from icr.rundir import fingerprint
from icr.rundir.layout import round_folder
from icr.types import Preference, PreferencePair

log = logging.getLogger(__name__)


class Replay(Protocol):
    """Where earlier pairs come from.

    Attributes:
        share: `γ`, of all the pairs of a round.
    """

    @property
    def share(self) -> float: ...

    def content(self) -> str:
        """Hash of what it brings from outside of the run; empty where it brings nothing."""

    def rounds(self, round: int) -> range:
        """Numbers of the rounds whose pairs it takes in `round`."""

    def pool(
        self, earlier: Sequence[Sequence[PreferencePair]], renderer: Renderer, context: int | None
    ) -> list[PreferencePair]:
        """What to draw from, each with its `source`.

        Args:
            earlier: own pairs of `rounds`.
            renderer: of the run.
            context: positions of its model; None where it states none.
        """


@dataclass(frozen=True)
class ReplayRounds:
    """The run's own pairs of all earlier rounds; the first round has none.

    Attributes:
        share: `γ`, in [0, 1); 0 is off.

    Raises:
        ValueError: it is out of its range.
    """

    share: float = 0.0

    def __post_init__(self) -> None:
        require_number("share", self.share, least=0, below=1)

    def content(self) -> str:
        """Nothing from outside."""
        return ""

    def rounds(self, round: int) -> range:
        """All before it."""
        return range(round)

    def pool(
        self, earlier: Sequence[Sequence[PreferencePair]], renderer: Renderer, context: int | None
    ) -> list[PreferencePair]:
        """The pairs of the rounds, as they were sampled."""
        return [_again(pair, round_folder(number)) for number, made in enumerate(earlier) for pair in made]


@dataclass(frozen=True)
class ReplayFile:
    """English pairs of a file of labelled preferences (`data=preferences`), in every round.

    Attributes:
        file: lines of `{"prompt": …, "chosen": …, "rejected": …}`.
        share: `γ`, in [0, 1); 0 is off.

    Raises:
        ValueError: `share` is out of its range.
    """

    file: str
    share: float = 0.5

    def __post_init__(self) -> None:
        require_number("share", self.share, least=0, below=1)

    def content(self) -> str:
        """Hash of the file's pairs.

        Raises:
            DataError: the file is missing or malformed.
        """
        return fingerprint.of_value([asdict(row) for row in self._rows()])

    def rounds(self, round: int) -> range:
        """None."""
        return range(0)

    def pool(
        self, earlier: Sequence[Sequence[PreferencePair]], renderer: Renderer, context: int | None
    ) -> list[PreferencePair]:
        """The file's pairs, without those that are longer than the context or hold turn tokens."""
        given = pairs.from_given(self._rows(), renderer)
        plain, _ = pairs.without_turn_tokens(given, renderer)
        kept, _ = pairs.within_context(plain, context)
        if len(kept) < len(given):
            log.info(
                "%d of %d pairs of %s are not replayed: %d longer than the context, %d with turn tokens in their text",
                len(given) - len(kept), len(given), self.file, len(plain) - len(kept), len(given) - len(plain),
            )  # fmt: skip
        return [_again(pair, "file") for pair in kept]

    def _rows(self) -> list[Preference]:
        return PreferenceFile(self.file).preferences(["en"])


def with_replay(
    own: Sequence[PreferencePair], pool: Sequence[PreferencePair], share: float, seed: tuple[object, ...], name: str
) -> list[PreferencePair]:
    """A round's own pairs, then `share/(1 − share)` times as many of the pool, or all that it has.

    Args:
        pool: drawn from without replacement, as a function of `seed` alone.
        share: `γ`, of all the pairs that are returned.
        name: of the round, for the log, which says how many there are.
    """
    wanted = round(share / (1 - share) * len(own))
    drawn = random.Random(repr((*seed, "replay"))).sample(list(pool), min(wanted, len(pool)))
    short = f", of {wanted} that replay.share={share:g} asks for" if len(drawn) < wanted else ""
    log.info("%s: %d pairs replayed beside %d of its own%s", name, len(drawn), len(own), short)
    return [*own, *drawn]


def _again(pair: PreferencePair, source: str) -> PreferencePair:
    """The pair without what belongs to the round that it was made in: partner and reference."""
    return replace(
        pair,
        source=source,
        partner="",
        reference_chosen_logp=0.0,
        reference_rejected_logp=0.0,
        reference_chosen_head_logp=0.0,
        reference_rejected_head_logp=0.0,
        reference_partner_chosen_logp=0.0,
        reference_partner_rejected_logp=0.0,
    )
