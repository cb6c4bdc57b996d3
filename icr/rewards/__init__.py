"""Rewards of responses and the pairs made of them: pure functions, no model."""

from icr.rewards.candidates import PairRules, apply_gate, group_by_prompt
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
    "apply_gate",
    "choose_pairs",
    "group_by_prompt",
    "implicit_reward",
]
