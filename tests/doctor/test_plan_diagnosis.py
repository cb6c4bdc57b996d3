"""The plan of a diagnosis, against what the diagnosis passes through its models."""

from __future__ import annotations

import json

import pytest

from icr.logps import scoring
from tests.labelled_rows import write_labelled

NO_MEMORY = ("doctor.devices=[A100]", "scoring.tokens_per_batch=2048")


@pytest.fixture
def passed(monkeypatch) -> list[int]:
    """Tokens of each batch that is scored, padding apart."""
    seen: list[int] = []
    inner = scoring.lay_out_batch

    def counted(sequences, rows):
        of_rows = [[sequences[index] for index in row] for row in rows]
        seen.append(sum(len(row[0][0]) + sum(len(response) for _, response in row) for row in of_rows))
        return inner(sequences, rows)

    monkeypatch.setattr(scoring, "lay_out_batch", counted)
    return seen


def test_labelled_tokens_are_those_that_are_scored(examine, passed, tmp_path):
    labelled = f"doctor.labelled={write_labelled(tmp_path / 'labelled', ['es', 'sw'], 12)}"
    own = (labelled, "doctor.own_prompts=0", "langs=[es,sw]")
    plan = examine("plan", "trainer.devices=2", *own, *NO_MEMORY).results["plan"]
    (phase,) = plan["diagnosis"]
    assert phase["phase"] == "labelled answers"
    passed.clear()  # Of the rehearsal, which has the run's own passes.
    examine("diagnose", *own)
    assert phase["tokens"] == sum(passed)
    # The doctor has one device, however many the run has.
    (hours,) = plan["diagnosis_hours"]["A100"].values()
    assert hours == pytest.approx(phase["flops"] / (19.5e12 * 0.35) / 3600)


def test_own_samples_are_counted_by_language_and_prompt(examine):
    few = ("doctor.own_prompts=2", "doctor.own_responses=3", "langs=[es,sw]", *NO_MEMORY)
    sampling, scored = examine("plan", *few).results["plan"]["diagnosis"]
    run = examine("plan", "sampling.n=3", "data.prompts_per_language=2", *few)
    of_round, of_scoring, *_ = run.results["plan"]["phases"]
    assert sampling == {**of_round, "memory": sampling["memory"]}
    # The pocket's diagnosis compares the crosslingual with the multilingual prompt.
    assert scored["tokens"] == pytest.approx(2 * of_scoring["tokens"], abs=1)


def test_a_prompt_that_samples_is_counted_as_in_a_round(examine):
    own = ("doctor.own_prompts=2", "doctor.own_responses=3", "langs=[es,sw]", *NO_MEMORY)
    of_round = ("sampling.n=3", "data.prompts_per_language=2", "reward_prompt=translate")
    round_ = {phase["phase"]: phase for phase in examine("plan", *of_round, *own).results["plan"]["phases"]}
    phases = examine("plan", "diagnosis=every_prompt", *own).results["plan"]["diagnosis"]
    assert [phase["phase"] for phase in phases] == ["sampling", "scoring", "translation"]
    assert phases[-1]["tokens"] == pytest.approx(round_["translation"]["tokens"], abs=1)


def test_a_reward_prompt_that_has_the_name_of_another_is_planned_all_the_same(examine):
    """Names are for the tables of a diagnosis, which asks for another key."""
    changed = "reward_prompt.template='In {language}: {instruction}'"
    seen = examine("plan", changed, "doctor.own_prompts=2", *NO_MEMORY)
    assert seen.status == 0
    assert [phase["phase"] for phase in seen.results["plan"]["diagnosis"]] == ["sampling", "scoring"]


def test_without_either_there_is_none(examine):
    seen = examine("plan", "doctor.own_prompts=0", *NO_MEMORY)
    assert seen.results["plan"]["diagnosis"] == []
    assert "diagnosis" not in seen.output.split("the run")[1].split("memory")[0]


def test_labelled_preferences_that_are_not_there(examine):
    seen = examine("plan", "doctor.labelled=nowhere", *NO_MEMORY)
    assert seen.status == 2
    assert "doctor.labelled: the folder nowhere does not exist" in seen.errors
    assert json.dumps(seen.results) == "{}"
