"""Judges: who says which of two answers is the better one, and where the other one comes from.

protocols.py    what a judge is: it scores answers one by one, compares them in pairs, or does both
compared.py     comparisons by a judge that scores
references.py   where reference answers come from
openai_judge.py comparisons by a model behind an endpoint, in both orders
pair_prompt.py  the text that it reads, and the words of its verdict
endpoint.py     an OpenAI-compatible endpoint that questions are put to, with budgets and a cache
asking.py       many requests at once: repeated where that helps, stopped where it does not
sending.py      one request by the openai client, and what came of it
reading.py      the reply in a body
replies.py      replies on disk
ledger.py       counts and budgets
spending.py     what was asked, and what it cost
questions.py    a question and its reply
"""

from typing import TYPE_CHECKING

from icr.judges.compared import TIE, ScoresCompared, pairwise
from icr.judges.protocols import Answer, Comparison, Judge, PairwiseJudge, PointwiseJudge, Score, Verdict, is_pointwise
from icr.judges.questions import Message, Question, Reply
from icr.judges.references import ReferenceAnswers, reference_answers
from icr.judges.spending import Spending
from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.judges.endpoint import Endpoint
    from icr.judges.openai_judge import OpenAIJudge
    from icr.judges.pair_prompt import PairPrompt

__all__ = [
    "TIE",
    "Answer",
    "Comparison",
    "Endpoint",
    "Judge",
    "Message",
    "OpenAIJudge",
    "PairPrompt",
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

# What asks a server is not needed to implement a judge.
__getattr__ = lazily(
    __name__,
    {
        "icr.judges.endpoint": ["Endpoint"],
        "icr.judges.openai_judge": ["OpenAIJudge"],
        "icr.judges.pair_prompt": ["PairPrompt"],
    },
)
