"""The stage `evaluation/<model>`: sampled, judged, kept."""

from __future__ import annotations

import logging

import pytest

from icr.errors import DataError
from icr.evaluation import JudgedResponse, evaluate
from icr.judges import Comparison, Verdict
from icr.rundir import Key, RunDirectory
from tests.evaluation.fakes import PROMPTS, Comparing, References, Sampler

VERDICTS = {"p0": Verdict(1.0, "", 0.9, 0.4), "q0": Verdict(0.25)}


def load():
    """Stands for a model."""
    return "model"


def run(folder, judge, *, prompts=PROMPTS, sampler=None, references=None, load=load) -> list[JudgedResponse]:
    store = RunDirectory(folder, {"evaluation/M0": Key({}, {})})
    sampler, references = sampler or Sampler(), references or References()
    return evaluate(
        store, "M0", load, prompts, sampler=sampler, judge=judge, references=references, seed=(0, "evaluation")
    )


def test_every_answer_is_compared_with_its_reference_answer(tmp_path):
    judge, sampler = Comparing(VERDICTS), Sampler()
    rows = run(tmp_path, judge, sampler=sampler)
    assert judge.asked == [[Comparison(p, f"{p.id}0", "reference") for p in PROMPTS]]
    assert sampler.log == ["model (0, 'evaluation')", "released"]
    assert rows[0] == JudgedResponse(
        id="p",
        language="en",
        prompt="p?",
        text="p0",
        tokens=3,
        characters=2,
        score=0.9,
        opponent="reference",
        opponent_score=0.4,
        finish_reason="stop",
        preference=1.0,
        reason="",
    )
    assert [(row.language, row.id, row.preference, row.score) for row in rows[1:]] == [
        ("en", "q", 0.25, None),
        ("sw", "p", 1.0, 0.9),
        ("sw", "q", 0.25, None),
    ]


def test_what_is_done_is_read_back(tmp_path):
    first = run(tmp_path, Comparing(VERDICTS))
    judge = Comparing({})
    assert run(tmp_path, judge, load=lambda: pytest.fail("loaded again")) == first
    assert judge.asked == []


def test_comparisons_without_a_verdict_are_kept_counted_and_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "icr"):
        rows = run(tmp_path, Comparing({"p0": Verdict(1.0)}))
    assert [(row.preference, row.reason) for row in rows] == [(1.0, ""), (None, "refused")] * 2
    assert "M0: 2 of 4 comparisons have no verdict (refused: 2)" in caplog.text
    caplog.clear()
    assert run(tmp_path, Comparing({})) == rows
    assert "2 of 4 comparisons" in caplog.text


def test_a_judge_without_any_verdict(tmp_path):
    assert {row.preference for row in run(tmp_path, Comparing({}))} == {None}
    assert {row.preference for row in run(tmp_path, Comparing({}))} == {None}


def test_several_answers_per_prompt(tmp_path):
    rows = run(tmp_path, Comparing({}), sampler=Sampler(n=3))
    assert [(row.language, row.text) for row in rows[:4]] == [("en", "p0"), ("en", "p1"), ("en", "p2"), ("en", "q0")]


def test_a_missing_reference_answer_is_seen_before_a_model_is_loaded(tmp_path):
    with pytest.raises(DataError, match="2 of 4 evaluation prompts have no reference answer"):
        run(tmp_path, Comparing({}), references=References(["en"]), load=lambda: pytest.fail("loaded"))


def test_the_sampler_is_released_when_sampling_fails(tmp_path):
    sampler = Sampler()
    with pytest.raises(RuntimeError, match="nothing to do"):
        run(tmp_path, Comparing({}), sampler=sampler, prompts=[])
    assert sampler.log[-1] == "released"
