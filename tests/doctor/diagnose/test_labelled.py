"""Labelled preferences from files: joined by id, weighed by category, cut to one length, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from icr.data import MultilingualPrompt
from icr.doctor.diagnose import labelled
from icr.doctor.diagnose.scoring import answers
from icr.errors import DataError
from icr.evaluation.diagnosis.accuracy import accuracies, baselines
from icr.evaluation.diagnosis.samples import tabulated
from tests.rounds.rows import response, scored


def write(folder, **files: list[dict]):
    """`<lang>.jsonl` for each language."""
    for code, rows in files.items():
        (folder / f"{code}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def row(id, prompt: str, **more) -> dict:
    """A row as M-RewardBench has it."""
    return {"id": id, "prompt": prompt, "chosen": "good answer", "rejected": "bad", "chosen_model": "x", **more}


def test_english_prompts_are_joined_by_id(tmp_path):
    english = [row(7, "Name a hill."), row(3, "Name a river.")]
    write(tmp_path, en=english, sw=[row(3, "Taja mto.", subset="hep-go"), row(7, "Taja kilima.", subset="donotanswer")])
    given = labelled.read(tmp_path, ["en", "sw", "fr"], None)
    assert list(given.rows) == ["en", "sw"]
    assert [(r.prompt.id, r.prompt.text, r.prompt.english, r.category) for r in given.rows["sw"]] == [
        ("3", "Taja mto.", "Name a river.", "Reasoning"),
        ("7", "Taja kilima.", "Name a hill.", "Safety"),
    ]
    assert [r.prompt.english for r in given.rows["en"]] == ["Name a hill.", "Name a river."]
    assert len(labelled.read(tmp_path, ["sw"], 1).rows["sw"]) == 1


def test_rows_of_one_instruction_are_one_cluster(tmp_path):
    write(tmp_path, sw=[row("a", "Taja mto.", prompt_en="Name a river.", category="Chat")] * 2)
    rows = labelled.read(tmp_path, ["sw"], None).rows["sw"]
    assert [r.cluster for r in rows] == ["a", "a"]
    assert len({r.prompt.id for r in rows}) == 2
    assert rows[0].category == "Chat"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"prompt": "Taja mto.", "chosen": "a", "rejected": "b"}], "line 1: it has no prompt_en, and en.jsonl has no"),
        ([{"prompt": "Taja mto.", "prompt_en": "x", "chosen": "a"}], "line 1: the field 'rejected' is missing"),
        ([], "holds no labelled preferences"),
    ],
)
def test_what_is_missing_is_named(tmp_path, rows, words):
    write(tmp_path, sw=rows)
    with pytest.raises(DataError, match=words):
        labelled.read(tmp_path, ["sw"], None)


def test_a_folder_without_the_languages_is_refused(tmp_path):
    write(tmp_path, swa=[row(1, "Taja mto.")])
    with pytest.raises(DataError, match=r"has no <lang>\.jsonl for any of sw; languages with a file there: swa"):
        labelled.read(tmp_path, ["sw"], None)


@pytest.fixture
def policy(loaded, shared_model):
    """A tiny model; its tokens are bytes."""
    return loaded(shared_model())


def test_unusable_rows_are_counted(tmp_path, policy):
    rows = [
        row(1, "a", prompt_en="a"),
        row(2, "b", prompt_en="b", chosen="bad"),
        row(3, "c", prompt_en="c <end>"),
        row(4, "d" * 60, prompt_en="d"),
    ]
    given = labelled.read(write(tmp_path, sw=rows), ["sw"], None)
    kept = labelled.usable(given, policy.renderer, [MultilingualPrompt().text], context=40)
    assert [r.prompt.id for r in kept.rows["sw"]] == ["1"]
    assert dict(kept.skipped["sw"]) == {
        "chosen equals rejected": 1,
        "contains turn tokens": 1,
        "longer than the context": 1,
    }


def test_at_equal_length_neither_answer_has_an_end(tmp_path, policy):
    given = labelled.read(
        write(tmp_path, sw=[row(1, "a", prompt_en="a", chosen="longer", rejected="abc")]), ["sw"], None
    )
    end = policy.renderer.end_of_turn_id
    whole, other, cut, short = answers(given.rows["sw"], policy)
    assert (whole.response_ids[-1], other.response_ids[-1]) == (end, end)
    assert (len(whole.response_ids), len(other.response_ids)) == (7, 4)
    assert (cut.response_ids, short.response_ids) == (whole.response_ids[:3], other.response_ids[:3])
    assert (cut.text, short.text) == ("lon", "abc")
    assert [r.k for r in (whole, other, cut, short)] == [0, 1, 2, 3]


def test_accuracy_and_baselines_by_hand():
    """Three rows: the reward is right, wrong and tied; lengths say right, right, wrong."""
    rewards, tokens = [(2.0, 1.0), (0.0, 1.0), (1.0, 1.0)], [(5, 3), (5, 3), (3, 5)]
    policy_logps, reference_logps = [(-1.0, -2.0)] * 3, [(-9.0, -3.0), (-9.0, -3.0), (-1.0, -3.0)]
    rows, responses = [], []
    for n in range(3):
        for k in range(2):
            responses.append(response(str(n), "sw", k, text=f"{n}{k}"))
            rows.append(
                scored(str(n), "sw", k, rewards[n][k], tokens=tokens[n][k], policy_logp=policy_logps[n][k],
                       reference_logp=reference_logps[n][k])
            )  # fmt: skip
    samples = tabulated(responses, rows, {})["sw"]
    labels, within = np.tile([1.0, 0.0], (3, 1)), np.ones((3, 2), bool)
    found = accuracies({"crosslingual": samples}, labels, within, main="crosslingual", confidence=0.95, tie=0)
    accuracy = found.by_prompt["crosslingual"]
    assert accuracy.reward.value == pytest.approx(1 / 3)
    assert accuracy.equal == pytest.approx(1 / 3)
    values = {name: estimate.value for name, estimate in accuracy.baselines.items()}
    assert values == {
        "longer": pytest.approx(2 / 3),
        "shorter": pytest.approx(1 / 3),
        "likelier under the policy": 1,
        "less likely under the policy": 0,
        # −1/5 against −2/3 twice, then −1/3 against −2/5.
        "likelier per token under the policy": 1,
        "less likely per token under the policy": 0,
        "likelier under the reference": pytest.approx(1 / 3),
        "less likely under the reference": pytest.approx(2 / 3),
        "likelier per token under the reference": pytest.approx(1 / 3),
        "less likely per token under the reference": pytest.approx(2 / 3),
    }
    assert accuracy.best == "likelier under the policy"
    assert accuracy.over["longer"].value == pytest.approx(-1 / 3)
    assert set(baselines(samples, equal_length=True)) == {
        f"{word} likely under the {model}".replace("more likely", "likelier")
        for word in ("more", "less")
        for model in ("policy", "reference")
    }
    strict = accuracies(
        {"crosslingual": samples}, labels, within, main="crosslingual", confidence=0.95, tie=0,
        categories=["Chat", "Chat", "Safety"],
    ).by_prompt["crosslingual"]  # fmt: skip
    assert strict.reward.value == pytest.approx((1 / 2 + 0) / 2)
