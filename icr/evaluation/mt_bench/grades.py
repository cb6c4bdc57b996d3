"""Grades of MT-Bench's answers, and figures of them."""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from icr import distributed
from icr.evaluation.intervals import paired_difference
from icr.evaluation.mt_bench.files import MTQuestion
from icr.evaluation.mt_bench.grading import LEAST, MOST, NO_SCORE, GradingPrompt, score
from icr.evaluation.win_rate import by_language, standard_errors, target_languages, win_rate, with_mean
from icr.judges import Endpoint, Question, Reply
from icr.rundir import RunDirectory, Table
from icr.rundir.benchmarks import grades_stage
from icr.rundir.measured import Difference, Figures
from icr.types import Response

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

log = logging.getLogger(__name__)


class Grading(Protocol):
    """How the grader is asked.

    Attributes:
        grading: what it reads.
        grade_tokens: of its reply.
        grader_temperature: of its reply.
    """

    @property
    def grading(self) -> GradingPrompt: ...

    @property
    def grade_tokens(self) -> int: ...

    @property
    def grader_temperature(self) -> float: ...


@dataclass(frozen=True, slots=True)
class GradedTurn:
    """One answer and its grade.

    Attributes:
        id, language, category: of the question.
        turn: 1 or 2.
        prompt: what the user says in it.
        text: the answer.
        finish_reason: of the answer.
        score: from 1 to 10; None without a grade.
        reason: why there is none; `""` where there is one.
        reply: of the grader.
        reference: whether the grader was shown a reference answer.
    """

    id: str
    language: str
    category: str
    turn: int
    prompt: str
    text: str
    finish_reason: str
    score: float | None
    reason: str
    reply: str
    reference: bool


def graded(
    store: RunDirectory,
    name: str,
    questions: Sequence[MTQuestion],
    turns: Sequence[Sequence[Response]],
    endpoint: Endpoint,
    how: Grading,
) -> list[GradedTurn]:
    """The stage of a model's grades: one row per answer, the first turns first.

    Args:
        questions: with the reference answers that the grader is shown.
        turns: answers to each turn.

    Raises:
        BudgetError, JudgeError: as `Endpoint.ask`; what was graded is in its cache.
    """
    by_key = {(question.id, question.language): question for question in questions}
    said = {(number, r.id, r.language): r.text for number, answers in enumerate(turns) for r in answers}
    asked = [(number, r) for number, answers in enumerate(turns) for r in answers]

    def question(number: int, response: Response) -> Question:
        one = by_key[response.id, response.language]
        answered = [said[n, one.id, one.language] for n in range(number + 1)]
        conversation = [text for pair in zip(one.turns, answered, strict=False) for text in pair]
        messages = how.grading.messages(conversation, one.references[: number + 1])
        return Question(messages, how.grade_tokens, how.grader_temperature)

    def make() -> list[GradedTurn]:
        if distributed.rank() != 0:
            return []
        replies = endpoint.ask([question(*one) for one in asked], f"{name} · grades")
        return [
            _row(by_key[response.id, response.language], number, response, reply)
            for (number, response), reply in zip(asked, replies, strict=True)
        ]

    rows = store.rows(grades_stage(name), Table(GradedTurn), make)
    if reasons := Counter(row.reason for row in rows if row.score is None):
        listed = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
        log.warning("%s: %d of %d answers have no grade (%s)", name, reasons.total(), len(rows), listed)
    return rows


def figures(rows: Sequence[GradedTurn]) -> Figures:
    """Figures of one model by language, each with its mean over the target languages.

    A question's score is the mean over its turns that have a grade, and the figure that over questions, which are what
    is drawn: two turns of one are not two questions, and neither is its translation. So scores are win rates on a scale
    of their own, from `LEAST` to `MOST` in the place of 0 to 100 %.

    Returns:
        `score`, `turn_1`, `turn_2` and `score/<category>` from 1 to 10, `score_se` of `score` over questions,
        `graded` and `ungraded` in answers.
    """
    languages, questions = [row.language for row in rows], [row.id for row in rows]
    shares = (scores_of(rows) - LEAST) / (MOST - LEAST)
    errors = standard_errors(languages, shares, questions)
    found = {
        "score": _means(languages, shares, questions),
        "score_se": {key: (MOST - LEAST) * error / 100.0 for key, error in errors.items()},
    }
    parts: Mapping[str, list[bool]] = {
        **{f"turn_{turn}": [row.turn == turn for row in rows] for turn in (1, 2)},
        **{f"score/{category}": [row.category == category for row in rows] for category in _categories(rows)},
    }
    for name, members in parts.items():
        found[name] = _means(languages, np.where(members, shares, math.nan), questions)
    missing = np.isnan(shares)
    found["graded"] = with_mean(by_language(np.sum, languages, ~missing))
    found["ungraded"] = with_mean(by_language(np.sum, languages, missing))
    return found


def differences(rows: Mapping[str, Sequence[GradedTurn]], baseline: str | None) -> list[Difference]:
    """Paired differences of `score`, on the answers that both models have a grade of, questions being drawn.

    Args:
        rows: by model.
        baseline: each model less this one; None takes all pairs, the later less the earlier.
    """
    pairs = [(later, earlier) for earlier, later in itertools.combinations(rows, 2)]
    if baseline is not None:
        pairs = [(name, baseline) for name in rows if name != baseline]
    return [found for model, other in pairs for found in _differences(rows, model, other)]


def _differences(rows: Mapping[str, Sequence[GradedTurn]], model: str, baseline: str) -> list[Difference]:
    grades = [
        {(row.language, row.id, row.turn): value for row, value in zip(own, scores_of(own), strict=True)}
        for own in (rows[model], rows[baseline])
    ]
    keys = list(dict.fromkeys([*grades[0], *grades[1]]))
    languages = list(dict.fromkeys(language for language, _, _ in keys))
    found = []
    for name, of in {"mean": target_languages(languages), **{language: [language] for language in languages}}.items():
        here = [key for key in keys if key[0] in of]
        own, other = ([one.get(key, math.nan) for key in here] for one in grades)
        paired = paired_difference(own, other, [id for _, id, _ in here])
        bounds = (paired.value, paired.low, paired.high, paired.clusters, paired.left_out, paired.not_above)
        found.append(Difference("score", model, baseline, name, *bounds))
    return found


def scores_of(rows: Sequence[GradedTurn]) -> Floats:
    """The grades, NaN where there is none. Shape `[N]`."""
    return np.array([math.nan if row.score is None else row.score for row in rows], dtype=np.float64)


def _means(languages: Sequence[str], shares: Floats, questions: Sequence[str]) -> dict[str, float]:
    """Means over questions, of shares of the way from `LEAST` to `MOST`."""
    means = with_mean(by_language(win_rate, languages, shares, np.array(questions, dtype=object)))
    return {key: LEAST + (MOST - LEAST) * mean / 100.0 for key, mean in means.items()}


def _categories(rows: Sequence[GradedTurn]) -> list[str]:
    return list(dict.fromkeys(row.category for row in rows))


def _row(question: MTQuestion, number: int, response: Response, reply: Reply) -> GradedTurn:
    value = None if reply.text is None else score(reply.text)
    return GradedTurn(
        id=response.id,
        language=response.language,
        category=question.category,
        turn=number + 1,
        prompt=question.turns[number],
        text=response.text,
        finish_reason=response.finish_reason,
        score=value,
        reason="" if value is not None else reply.reason or NO_SCORE,
        reply=reply.text or "",
        reference=bool(question.references),
    )
