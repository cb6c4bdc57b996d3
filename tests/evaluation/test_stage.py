"""The stages `answers/<model>` and `evaluation/<model>`: sampled, judged, kept."""

from __future__ import annotations

import logging

import pytest

from icr.evaluation import JudgedResponse
from icr.evaluation.stage import answered, judged
from icr.judges import Comparison, Verdict
from icr.rundir import Key, RunDirectory
from tests.evaluation.fakes import PROMPTS, Comparing, References, Sampler

VERDICTS = {"p0": Verdict(1.0, "", 0.9, 0.4), "q0": Verdict(0.25)}


def load():
    """Stands for a model."""
    return "model"


def run(folder, judge, *, prompts=PROMPTS, sampler=None, load=load, language_check=None) -> list[JudgedResponse]:
    store = RunDirectory(folder, {"answers/M0": Key({}, {}), "evaluation/M0": Key({}, {"answers": "0"})})
    responses = answered(
        store, "answers/M0", load, prompts, sampler=sampler or Sampler(), seed=(0, "evaluation"), what="M0 · answers"
    )
    references = References().answers(prompts)
    return judged(store, "M0", responses, prompts, judge=judge, references=references, language_check=language_check)


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


def test_answers_are_kept_without_a_verdict_and_judged_anew(tmp_path):
    run(tmp_path, Comparing({}))
    (tmp_path / "evaluation/M0.parquet").unlink()
    judge = Comparing(VERDICTS)
    rows = run(tmp_path, judge, load=lambda: pytest.fail("loaded again"))
    assert [row.preference for row in rows] == [1.0, 0.25] * 2


def test_answers_come_part_by_part_from_a_model_that_is_loaded_once(tmp_path):
    loaded = []
    sampler = Sampler(prompts_per_part=1)
    run(tmp_path, Comparing({}), sampler=sampler, load=lambda: loaded.append(1) or "model")
    assert len(loaded) == 1
    assert len(sampler.log) == len(PROMPTS) + 1


def test_answers_in_another_language_are_marked(tmp_path):
    rows = run(tmp_path, Comparing({}), language_check=lambda language, text: language == "en")
    assert [row.off_language for row in rows] == [False, False, True, True]


def test_the_sampler_is_released_when_sampling_fails(tmp_path):
    def fails():
        raise RuntimeError("nothing to do")

    sampler = Sampler()
    with pytest.raises(RuntimeError, match="nothing to do"):
        run(tmp_path, Comparing({}), sampler=sampler, load=fails)
    assert sampler.log[-1] == "released"
