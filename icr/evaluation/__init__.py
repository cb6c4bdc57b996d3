"""Figures about models: answers sampled and judged, win rates, length control, reward accuracy.

settings.py            the config group
benchmark.py           what models are measured by, and what that needs
comparing.py           the benchmark of win rates
stage.py               answers, and verdicts on them: stages of the run directory
alpaca_files.py        AlpacaEval's files in many languages
arena_files.py         m-ArenaHard's
figures.py             rows → figures, by language
win_rate.py            win rate, its standard error, means over languages
length_controlled.py   win rate at equal length
reward_prompts.py      rewards under each reward prompt, and their accuracy
accuracy.py            reward accuracy
lm_eval.py             the benchmark of lm-evaluation-harness's tasks
harness_tasks.py       which of its tasks stand for a benchmark in each language
harness.py             what it is asked for, and what it answers
mt_bench.py            the benchmark of MT-Bench, in many languages
mt_bench_files.py      its questions and reference answers
mt_bench_answers.py    models answer its turns
mt_bench_grading.py    what a grader reads, and how its number is understood
mt_bench_grades.py     grades, and figures of them
"""

from icr.evaluation.alpaca_files import AlpacaPrompts, AnswerFiles
from icr.evaluation.arena_files import ArenaAnswers, ArenaPrompts
from icr.evaluation.benchmark import Bench, Benchmark, OpenBenchmark, Setting, StageParts, Subject
from icr.evaluation.comparing import OpenEvaluation
from icr.evaluation.figures import figures
from icr.evaluation.lm_eval import LMEval
from icr.evaluation.mt_bench import MTBench
from icr.evaluation.mt_bench_files import MTFiles
from icr.evaluation.mt_bench_grading import GradingPrompt
from icr.evaluation.reward_prompts import reward_accuracies, rewards_under
from icr.evaluation.settings import JudgedEvaluation
from icr.evaluation.stage import JudgedResponse

__all__ = [
    "AlpacaPrompts",
    "AnswerFiles",
    "ArenaAnswers",
    "ArenaPrompts",
    "Bench",
    "Benchmark",
    "GradingPrompt",
    "JudgedEvaluation",
    "JudgedResponse",
    "LMEval",
    "MTBench",
    "MTFiles",
    "OpenBenchmark",
    "OpenEvaluation",
    "Setting",
    "StageParts",
    "Subject",
    "figures",
    "reward_accuracies",
    "rewards_under",
]
