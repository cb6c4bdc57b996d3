"""Judges: who says which of two answers is the better one, and where the other one comes from.

protocols.py    what a judge is: it scores answers one by one, compares them in pairs, or does both
compared.py     comparisons by a judge that scores
references.py   where reference answers come from
"""

from icr.judges.compared import TIE, ScoresCompared, pairwise
from icr.judges.protocols import Answer, Comparison, Judge, PairwiseJudge, PointwiseJudge, Score, Verdict, is_pointwise
from icr.judges.references import ReferenceAnswers, reference_answers

__all__ = [
    "TIE",
    "Answer",
    "Comparison",
    "Judge",
    "PairwiseJudge",
    "PointwiseJudge",
    "ReferenceAnswers",
    "Score",
    "ScoresCompared",
    "Verdict",
    "is_pointwise",
    "pairwise",
    "reference_answers",
]
