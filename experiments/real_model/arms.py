"""Which models there are: what they were aligned with, and by which rounds they were trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

PAIRS = ("turbo_over_35", "mini_over_35", "balanced", "demonstrated")
"""English preferences that a model is aligned with: the strongest against the weakest, neighbours, pairs of both whose
chosen answer is the less likely one as often as the more likely one (`balance.py`), and the first ones again, from a
model that has seen demonstrations in all languages."""
BALANCED, DEMONSTRATED = PAIRS[2:]
CONTROLS = {"nll_random": "nll", "random_labels": "random"}
"""Of the rounds, by their keys: what their models are called in names."""


class Arm(NamedTuple):
    """Rounds of one kind.

    Attributes:
        pair: whose model they start from, and whose reward they use.
        words: settings of theirs.
        whole: whether they are run with all seeds and controls; else with the first seed alone.
    """

    pair: str
    words: Sequence[str] = ()
    whole: bool = False


ARMS = {
    "": Arm(PAIRS[0], whole=True),
    "language": Arm(PAIRS[0], ["gate=language"]),
    "multilingual": Arm(PAIRS[0], ["reward_prompt=multilingual"]),
    "balanced": Arm(BALANCED),
    "demonstrated": Arm(DEMONSTRATED, ["gate=language"], whole=True),
    "gentle": Arm(DEMONSTRATED, ["gate=language", "optim.lr=5e-5"]),
}
"""By name; `""` is the main one."""


class Trained(NamedTuple):
    """A model of the rounds, whose name is `s0_M1`, `s0_nll_M1` of a control, or `balanced_s0_M1` of another arm.

    Attributes:
        arm: one of `ARMS`.
        seed: of its rounds.
        control: `nll` or `random`; `""` of ICR itself.
        model: of which round, such as `M1`.
    """

    arm: str
    seed: int
    control: str
    model: str

    @classmethod
    def parse(cls, name: str) -> Trained | None:
        """From its name; None of a model that the rounds start from."""
        found = re.fullmatch(r"(?:([a-z]+)_)?s(\d+)_(?:([a-z]+)_)?(M\d+)", name)
        return cls(found[1] or "", int(found[2]), found[3] or "", found[4]) if found else None

    @property
    def start(self) -> str:
        """Name of the model that its rounds start from."""
        return aligned_on(ARMS[self.arm].pair)

    def compares_with(self, other: Trained) -> bool:
        """Whether the other is a control of its seed and round, or the main arm's model, and starts from the same."""
        same = (other.seed, other.model, other.start) == (self.seed, self.model, self.start)
        return same and not self.control and other.arm in {"", self.arm} and other != self

    def __str__(self) -> str:
        return "_".join(part for part in (self.arm, f"s{self.seed}", self.control, self.model) if part)


def aligned_on(pair: str) -> str:
    """Name of the model that was aligned with a pair: `dpo_en` with the first, `dpo_<pair>` with another."""
    return "dpo_en" if pair == PAIRS[0] else f"dpo_{pair}"
