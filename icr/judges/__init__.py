"""Judges: who says which of two answers is the better one, and where the other one comes from.

protocols.py    what a judge is: it scores answers one by one, compares them in pairs, or does both
compared.py     comparisons by a judge that scores
references.py   where reference answers come from
endpoint.py     an OpenAI-compatible endpoint that questions are put to, with budgets and a cache
questions.py    a question and its reply
spending.py     what was asked, and what it cost
"""

from icr.judges.compared import TIE, ScoresCompared, pairwise
from icr.judges.endpoint import Endpoint
from icr.judges.protocols import Answer, Comparison, Judge, PairwiseJudge, PointwiseJudge, Score, Verdict, is_pointwise
from icr.judges.questions import Message, Question, Reply
from icr.judges.references import ReferenceAnswers, reference_answers
from icr.judges.spending import Spending

__all__ = [
    "TIE",
    "Answer",
    "Comparison",
    "Endpoint",
    "Judge",
    "Message",
    "PairwiseJudge",
    "PointwiseJudge",
    "Question",
    "ReferenceAnswers",
    "Reply",
    "Score",
    "ScoresCompared",
    "Spending",
    "Verdict",
    "is_pointwise",
    "pairwise",
    "reference_answers",
]
