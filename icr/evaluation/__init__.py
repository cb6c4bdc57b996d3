"""Figures about models: answers sampled and judged, win rates, length control, reward accuracy.

The length-controlled win rate of AlpacaEval, from a judge's verdicts on its 805 prompts in their order (`preferences`
from 1, where the baseline wins, to 2) and the lengths of both answers in characters:

```
from icr.evaluation import alpaca_eval_difficulty, length_controlled

found = length_controlled(preferences - 1, lengths, baseline_lengths, difficulty=alpaca_eval_difficulty())
found.win_rate, found.standard_error
```

settings.py            the config group
benchmark.py           what models are measured by, and what that needs
comparing.py           the benchmark of win rates
answering.py           answers to the prompts of an evaluation, sampled or given
stage.py               answers, and verdicts on them: stages of the run directory
prompt_files.py        prompts of one's own, and what the two following have in common
alpaca_files.py        AlpacaEval's files in many languages
arena_files.py         m-ArenaHard's
figures.py             rows → figures of one model, by language
comparison.py          rows of several models → figures, and differences with intervals
win_rate.py            win rate, its standard error, means over languages
length_controlled.py   win rate at equal length
difficulty.py          how hard prompts are: a table, or fitted to the models compared
agreement.py           how far a judge's two orders agree
repetition.py          whether a text runs in circles
intervals.py           Wilson's interval, and the bootstrap over clusters
reward_prompts.py      rewards under each reward prompt, and their accuracy
accuracy.py            reward accuracy
diagnosis/             whether a reward orders answers, by more than length or likelihood: go, caution, no-go
row_means.py           means of rows by language, with intervals over prompts, and paired differences
answers/               the benchmark of answers alone, without a judge
preferences/           the benchmark of labelled preferences, without a judge
mt_bench/              the benchmark of MT-Bench, in many languages
harness/               the benchmark of lm-evaluation-harness's tasks
"""

from icr.evaluation.alpaca_files import AlpacaPrompts, AnswerFiles
from icr.evaluation.answers.benchmark import Answers
from icr.evaluation.arena_files import ArenaAnswers, ArenaPrompts
from icr.evaluation.benchmark import Bench, Benchmark, OpenBenchmark, Setting, StageParts, Subject
from icr.evaluation.comparing import OpenEvaluation
from icr.evaluation.comparison import check_difficulty, compared
from icr.evaluation.diagnosis.settings import Diagnosis
from icr.evaluation.diagnosis.verdict import Limits
from icr.evaluation.difficulty import alpaca_eval_difficulty
from icr.evaluation.figures import figures, reasons
from icr.evaluation.harness.benchmark import LMEval
from icr.evaluation.intervals import Interval, mean_interval, paired_difference, share_interval
from icr.evaluation.length_controlled import (
    LengthControlled,
    LengthPrior,
    length_controlled,
    length_controlled_win_rate,
)
from icr.evaluation.mt_bench.benchmark import MTBench
from icr.evaluation.mt_bench.files import MTFiles
from icr.evaluation.mt_bench.grading import GradingPrompt
from icr.evaluation.preferences.benchmark import Preferences
from icr.evaluation.prompt_files import PromptFiles
from icr.evaluation.repetition import repeats
from icr.evaluation.reward_prompts import reward_accuracies, rewards_under
from icr.evaluation.settings import JudgedEvaluation
from icr.evaluation.stage import JudgedResponse

__all__ = [
    "AlpacaPrompts",
    "AnswerFiles",
    "Answers",
    "ArenaAnswers",
    "ArenaPrompts",
    "Bench",
    "Benchmark",
    "Diagnosis",
    "GradingPrompt",
    "Interval",
    "JudgedEvaluation",
    "JudgedResponse",
    "LMEval",
    "LengthControlled",
    "LengthPrior",
    "Limits",
    "MTBench",
    "MTFiles",
    "OpenBenchmark",
    "OpenEvaluation",
    "Preferences",
    "PromptFiles",
    "Setting",
    "StageParts",
    "Subject",
    "alpaca_eval_difficulty",
    "check_difficulty",
    "compared",
    "figures",
    "length_controlled",
    "length_controlled_win_rate",
    "mean_interval",
    "paired_difference",
    "reasons",
    "repeats",
    "reward_accuracies",
    "rewards_under",
    "share_interval",
]
