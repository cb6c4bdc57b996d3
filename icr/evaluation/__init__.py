"""Figures about models: answers sampled and judged, win rates, length control, reward accuracy.

settings.py            the config group
benchmark.py           what models are measured by, and what that needs
comparing.py           the benchmark of win rates
stage.py               answers, and verdicts on them: stages of the run directory
alpaca_files.py        AlpacaEval's files in many languages
figures.py             rows → figures, by language
win_rate.py            win rate, its standard error, means over languages
length_controlled.py   win rate at equal length
reward_prompts.py      rewards under each reward prompt, and their accuracy
accuracy.py            reward accuracy
diagnosis/             whether a reward orders answers, by more than length or likelihood: go, caution, no-go
"""

from icr.evaluation.alpaca_files import AlpacaPrompts, AnswerFiles
from icr.evaluation.benchmark import Bench, Benchmark, OpenBenchmark, Setting, StageParts, Subject
from icr.evaluation.comparing import OpenEvaluation
from icr.evaluation.diagnosis.settings import Diagnosis
from icr.evaluation.diagnosis.verdict import Limits
from icr.evaluation.figures import figures
from icr.evaluation.reward_prompts import reward_accuracies, rewards_under
from icr.evaluation.settings import JudgedEvaluation
from icr.evaluation.stage import JudgedResponse

__all__ = [
    "AlpacaPrompts",
    "AnswerFiles",
    "Bench",
    "Benchmark",
    "Diagnosis",
    "JudgedEvaluation",
    "JudgedResponse",
    "Limits",
    "OpenBenchmark",
    "OpenEvaluation",
    "Setting",
    "StageParts",
    "Subject",
    "figures",
    "reward_accuracies",
    "rewards_under",
]
