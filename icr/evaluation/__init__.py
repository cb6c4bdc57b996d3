"""Figures about models: answers sampled and judged, win rates, length control, reward accuracy.

settings.py            the config group
stage.py               sample → judge → rows, a stage of the run directory
figures.py             rows → figures, by language
win_rate.py            win rate, its standard error, means over languages
length_controlled.py   win rate at equal length
reward_prompts.py      rewards under each reward prompt, and their accuracy
accuracy.py            reward accuracy
diagnosis/             whether a reward orders answers, by more than length or likelihood: go, caution, no-go
"""

from icr.evaluation.diagnosis.settings import Diagnosis
from icr.evaluation.diagnosis.verdict import Limits
from icr.evaluation.figures import figures
from icr.evaluation.reward_prompts import reward_accuracies, rewards_under
from icr.evaluation.settings import JudgedEvaluation
from icr.evaluation.stage import JudgedResponse, evaluate

__all__ = [
    "Diagnosis",
    "JudgedEvaluation",
    "JudgedResponse",
    "Limits",
    "evaluate",
    "figures",
    "reward_accuracies",
    "rewards_under",
]
