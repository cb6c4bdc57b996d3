"""Comparisons by scores, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from icr.errors import ConfigError, DataError
from icr.judges import (
    Comparison,
    Score,
    ScoresCompared,
    Verdict,
    is_pointwise,
    pairwise,
    reference_answers,
)
from icr.types import Prompt
from tests.evaluation.fakes import Scoring

PROMPT = Prompt("p", "sw", "Taja rangi.", "Name a colour.")


class Neither:
    """Not a judge."""

    scores: ClassVar[bool] = False
    compares: ClassVar[bool] = False


def compared(judge: ScoresCompared, *pairs: tuple[str, str], prompt: Prompt = PROMPT) -> list[Verdict]:
    """Verdicts on pairs of texts."""
    return judge.compare([Comparison(prompt, answer, reference) for answer, reference in pairs])


def test_wins_losses_and_ties_by_hand():
    judge = ScoresCompared(Scoring({"good": 1.0, "bad": 0.2, "fair": 0.6, "as fair": 0.2 + 0.2 + 0.2}))
    verdicts = compared(judge, ("good", "bad"), ("bad", "fair"), ("fair", "as fair"))
    assert 0.2 + 0.2 + 0.2 != 0.6
    assert [verdict.preference for verdict in verdicts] == [1.0, 0.0, 0.5]
    assert [(verdict.score, verdict.reference_score) for verdict in verdicts][:2] == [(1.0, 0.2), (0.2, 0.6)]
    assert all(verdict.reason == "" for verdict in verdicts)


def test_nothing_is_scored_twice():
    table = Scoring({"a": 1.0, "b": 0.5})
    judge = ScoresCompared(table)
    verdicts = compared(judge, ("a", "b"), ("b", "b"), ("a", "a"), ("a", "b"))
    assert [verdict.preference for verdict in verdicts] == [1.0, 0.5, 0.5, 1.0]
    compared(judge, ("c", "b"), ("c", "a"))
    assert table.asked == [["a", "b"], ["c"]]


def test_the_same_text_under_another_prompt_is_another_answer():
    table = Scoring({"a": 1.0})
    judge = ScoresCompared(table)
    compared(judge, ("a", "a"))
    compared(judge, ("a", "a"), prompt=Prompt("p", "en", "Name a colour.", "Name a colour."))
    assert table.asked == [["a"], ["a"]]


def test_without_a_score_there_is_no_verdict_but_a_reason():
    answer, reference = compared(ScoresCompared(Scoring({"a": 1.0})), ("?", "a"), ("a", "?"))
    assert answer == Verdict(None, "no score of the answer: refused", None, 1.0)
    assert reference == Verdict(None, "no score of the reference: refused", 1.0, None)


def test_nothing_to_compare():
    assert ScoresCompared(Scoring({})).compare([]) == []


def test_a_judge_says_what_it_can_do():
    table = Scoring({})
    judge = pairwise(table)
    assert is_pointwise(table)
    assert not is_pointwise(judge)
    assert judge == ScoresCompared(table)
    assert pairwise(judge) is judge
    with pytest.raises(ConfigError, match="judge: Neither neither scores nor compares"):
        pairwise(Neither())


@pytest.mark.parametrize("arguments", [(None,), (None, ""), (1.0, "a reason"), (1.1,), (-0.1,), (float("nan"),)])
def test_a_verdict_is_a_preference_or_a_reason(arguments):
    with pytest.raises(ValueError, match="preference must be"):
        Verdict(*arguments)


@pytest.mark.parametrize("order", ["shown_first", "shown_second"])
def test_preferences_of_each_order_are_probabilities(order):
    assert Verdict(0.5, **{order: 1.0}) != Verdict(0.5)
    with pytest.raises(ValueError, match=rf"{order} must be in \[0, 1\]"):
        Verdict(0.5, **{order: 1.5})


def test_a_judge_by_scores_spends_what_its_judge_spends():
    table = Scoring({})
    assert ScoresCompared(table).spending is None
    ScoresCompared(table).require()


@pytest.mark.parametrize("arguments", [(None,), (1.0, "a reason"), (float("nan"),), (float("inf"),)])
def test_a_score_is_finite_or_has_a_reason_why_there_is_none(arguments):
    with pytest.raises(ValueError, match="value must be"):
        Score(*arguments)


class English:
    """Has answers in English alone."""

    def answers(self, prompts: Sequence[Prompt]) -> dict[tuple[str, str], str]:
        """By id and language."""
        return {(prompt.id, prompt.language): "blue" for prompt in prompts if prompt.language == "en"}


def test_a_missing_reference_answer_is_named():
    english = Prompt("p", "en", "Name a colour.", "Name a colour.")
    assert reference_answers(English(), [english]) == {("p", "en"): "blue"}
    with pytest.raises(DataError, match="1 of 2 evaluation prompts have no reference answer, the first of them 'p' in"):
        reference_answers(English(), [english, PROMPT])
