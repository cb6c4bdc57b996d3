"""A round's data as functions, without Lightning: generate, annotate, gate, pair."""

from icr.rounds.annotate import ImplicitReward, JudgeReward
from icr.rounds.gates import Gate, LanguageGate
from icr.rounds.reward_pair import RewardPair

__all__ = [
    "Gate",
    "ImplicitReward",
    "JudgeReward",
    "LanguageGate",
    "RewardPair",
]
