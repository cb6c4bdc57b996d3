"""Rewards of responses and the pairs made of them: pure functions, no model."""

from icr.rewards.band import Band
from icr.rewards.candidates import PairRules, Selection, apply_gate, group_by_prompt
from icr.rewards.implicit import implicit_reward
from icr.rewards.length_control import LengthControl, LengthControlResult, LengthPenalty, NoLengthControl
from icr.rewards.pairing import (
    BestWorst,
    Candidates,
    Choice,
    Choices,
    DisjointPairs,
    Pairing,
    RandomPair,
    choose_pairs,
)

__all__ = [
    "Band",
    "BestWorst",
    "Candidates",
    "Choice",
    "Choices",
    "DisjointPairs",
    "LengthControl",
    "LengthControlResult",
    "LengthPenalty",
    "NoLengthControl",
    "PairRules",
    "Pairing",
    "RandomPair",
    "Selection",
    "apply_gate",
    "choose_pairs",
    "group_by_prompt",
    "implicit_reward",
]
