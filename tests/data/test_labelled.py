"""Labelled preferences from files: joined by id, weighed by category, left out with a reason, and what is refused."""

from __future__ import annotations

import pytest

from icr.data import MultilingualPrompt, labelled
from icr.errors import DataError
from tests.labelled_rows import row, write


def test_english_prompts_are_joined_by_id(tmp_path):
    english = [row(7, "Name a hill."), row(3, "Name a river.")]
    write(tmp_path, en=english, sw=[row(3, "Taja mto.", subset="hep-go"), row(7, "Taja kilima.", subset="donotanswer")])
    given = labelled.read(tmp_path, ["en", "sw", "fr"], None, key="doctor.labelled")
    assert list(given.rows) == ["en", "sw"]
    assert [(r.prompt.id, r.prompt.text, r.prompt.english, r.category) for r in given.rows["sw"]] == [
        ("3", "Taja mto.", "Name a river.", "Reasoning"),
        ("7", "Taja kilima.", "Name a hill.", "Safety"),
    ]
    assert [r.prompt.english for r in given.rows["en"]] == ["Name a hill.", "Name a river."]
    assert len(labelled.read(tmp_path, ["sw"], 1, key="doctor.labelled").rows["sw"]) == 1


def test_rows_of_one_instruction_are_one_cluster(tmp_path):
    write(tmp_path, sw=[row("a", "Taja mto.", prompt_en="Name a river.", category="Chat")] * 2)
    rows = labelled.read(tmp_path, ["sw"], None, key="doctor.labelled").rows["sw"]
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
        labelled.read(tmp_path, ["sw"], None, key="doctor.labelled")


def test_a_folder_without_the_languages_is_refused(tmp_path):
    write(tmp_path, swa=[row(1, "Taja mto.")])
    with pytest.raises(DataError, match=r"has no <lang>\.jsonl for any of sw; languages with a file there: swa"):
        labelled.read(tmp_path, ["sw"], None, key="doctor.labelled")


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
    given = labelled.read(write(tmp_path, sw=rows), ["sw"], None, key="doctor.labelled")
    kept = labelled.usable(given, policy.renderer, [MultilingualPrompt().text], context=40)
    assert [r.prompt.id for r in kept.rows["sw"]] == ["1"]
    assert dict(kept.skipped["sw"]) == {
        "chosen equals rejected": 1,
        "contains turn tokens": 1,
        "longer than the context": 1,
    }


def test_without_need_of_english_the_prompt_stands_in_for_it(tmp_path):
    write(tmp_path, sw=[row("a", "Taja mto.")])
    (kept,) = labelled.read(tmp_path, ["sw"], None, key="benchmark.labelled", needs_english=False).rows["sw"]
    assert (kept.prompt.text, kept.prompt.english) == ("Taja mto.", "Taja mto.")


def test_what_was_left_out_before_stays_counted(tmp_path, policy):
    rows = [row(1, "a", prompt_en="a"), row(2, "b", prompt_en="b", chosen="bad"), row(3, "d" * 60, prompt_en="d")]
    given = labelled.read(write(tmp_path, sw=rows), ["sw"], None, key="benchmark.labelled")
    texts = [MultilingualPrompt().text]
    once = labelled.usable(given, policy.renderer, texts, context=None)
    twice = labelled.usable(once, policy.renderer, texts, context=40)
    assert dict(twice.skipped["sw"]) == {"chosen equals rejected": 1, "longer than the context": 1}
