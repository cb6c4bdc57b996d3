"""Figures about models: win rates, length control, reward accuracy."""

from icr.evaluation.judged import JudgedEvaluation, JudgedResponse

__all__ = [
    "JudgedEvaluation",
    "JudgedResponse",
]
