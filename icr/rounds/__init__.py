"""A round's data as functions, without Lightning: sample, reward, gate, pair."""

from icr.rounds.agreement import AgreementGate
from icr.rounds.annotate import Annotator, ImplicitReward, JudgeReward, Reward
from icr.rounds.gates import Gate, LanguageGate
from icr.rounds.reward_pair import RewardPair
from icr.rounds.stage import ICR, SFT, EnglishDPO, Stage

__all__ = [
    "ICR",
    "SFT",
    "AgreementGate",
    "Annotator",
    "EnglishDPO",
    "Gate",
    "ImplicitReward",
    "JudgeReward",
    "LanguageGate",
    "Reward",
    "RewardPair",
    "Stage",
]
