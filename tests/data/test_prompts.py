"""Parallel prompts: joined by id, and every fault of a file named with its place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from icr.data.prompts import MISSING, ParallelPrompts
from icr.errors import ConfigError, DataError
from icr.types import Prompt

ENGLISH = {"a": "Name a river.", "b": "Name a tree.", "c": "Name a bird."}
SWAHILI = {"c": "Taja ndege.", "a": "Taja mto.", "b": "Taja mti."}
SHARED = Path(os.environ.get("ICR_SHARED_DATA", Path(__file__).parents[3] / "shared/data"))


def refused(folder: Path, languages=("en", "sw"), **settings) -> str:
    with pytest.raises(DataError) as error:
        ParallelPrompts(str(folder), **settings).prompts(languages)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_joined_by_id_whatever_the_order_of_the_lines(folder):
    made = ParallelPrompts(str(folder(en=ENGLISH, sw=SWAHILI))).prompts(["en", "sw"])
    assert made.prompts[3:] == [Prompt(id, "sw", SWAHILI[id], ENGLISH[id]) for id in "abc"]
    assert [p.text for p in made.prompts[:3]] == list(ENGLISH.values())
    assert made.skipped == {}


def test_english_is_read_even_where_it_takes_no_part(folder):
    made = ParallelPrompts(str(folder(en=ENGLISH, sw=SWAHILI))).prompts(["sw"])
    assert {(p.language, p.english) for p in made.prompts} == {("sw", text) for text in ENGLISH.values()}


def test_fewer_prompts_are_the_first_of_more(folder):
    path = str(folder(en=ENGLISH, sw=SWAHILI))
    assert [p.id for p in ParallelPrompts(path, prompts_per_language=2).prompts(["sw"]).prompts] == ["a", "b"]


def test_more_prompts_than_there_are(folder):
    source = ParallelPrompts(str(folder(en=ENGLISH, sw=SWAHILI)), prompts_per_language=4)
    with pytest.raises(ConfigError, match=r"data.prompts_per_language is 4, but .* has only 3 prompts"):
        source.prompts(["en", "sw"])


def test_other_splits_do_not_exist(folder):
    with pytest.raises(ConfigError, match="data=parallel has no 'test' split"):
        ParallelPrompts(str(folder(en=ENGLISH))).prompts(["en"], "test")


def test_other_field_names_blank_lines_byte_order_mark_and_numeric_ids(tmp_path):
    lines = [json.dumps({"n": n, "q": text}) for n, text in enumerate(ENGLISH.values())]
    (tmp_path / "en.jsonl").write_text("\ufeff" + "\n\n".join(lines), encoding="utf-8")
    made = ParallelPrompts(str(tmp_path), id_field="n", text_field="q").prompts(["en"])
    assert [(p.id, p.text) for p in made.prompts] == list(zip("012", ENGLISH.values(), strict=True))


def test_missing_folder(tmp_path):
    (tmp_path / "prompts").mkdir()
    message = refused(tmp_path / "promts")
    assert message == f"data.dir: the folder {tmp_path}/promts does not exist. Did you mean {tmp_path}/prompts?"


def test_missing_file(folder):
    path = folder(en=ENGLISH, sw=SWAHILI)
    message = refused(path, ["en", "th"])
    assert message == f"{path}/th.jsonl does not exist; languages with a file in that folder: en, sw."


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"instruction_id": "b", "instruction": "half', "not valid JSON (Unterminated string"),
        ('["b", "Taja mti."]', "expected a JSON object, found list"),
        ('{"instruction_id": "b"}', "the field 'instruction' is missing (found: instruction_id) (id 'b')"),
        ('{"instruction_id": "b", "instruction": ""}', "the field 'instruction' is empty (id 'b')"),
        ('{"instruction_id": "b", "instruction": " \\n"}', "the field 'instruction' is empty (id 'b')"),
        ('{"instruction_id": "b", "instruction": 7}', "the field 'instruction' must be a string, found int (id 'b')"),
        ('{"instruction_id": "b", "instruction": "\\ud83d"}', "half of a surrogate pair"),
        ('{"instruction": "Taja mti."}', "the field 'instruction_id' is missing (found: instruction)"),
        ('{"instruction_id": null, "instruction": "a"}', "the field 'instruction_id' must be a string, found NoneType"),
        ('{"instruction_id": "a", "instruction": "Taja mti."}', "the id 'a' comes a second time in this file"),
    ],
)
def test_a_bad_line_is_named(line, what, folder):
    first = json.dumps({"instruction_id": "a", "instruction": SWAHILI["a"]})
    path = folder(en=ENGLISH, sw=[first, "", line])
    message = refused(path)
    assert message.startswith(f"{path}/sw.jsonl, line 3: ")
    assert what in message


def test_a_line_that_is_not_utf8_is_named(folder):
    path = folder(en=ENGLISH, sw=SWAHILI)
    with (path / "sw.jsonl").open("ab") as file:
        file.write(b"{}\xff\n")
    assert refused(path).startswith(f"{path}/sw.jsonl, line 4: not UTF-8 (invalid start byte at byte 2)")


def test_an_empty_file(folder):
    path = folder(en=ENGLISH, sw=[])
    assert refused(path) == f"{path}/sw.jsonl holds no prompts."


@pytest.mark.parametrize("lacking", ["sw", "en"])
def test_an_id_missing_in_one_language(lacking, folder):
    files = {"en": dict(ENGLISH), "sw": dict(SWAHILI)}
    del files[lacking]["b"]
    path = folder(**files)
    message = refused(path)
    other = {"sw": "en", "en": "sw"}[lacking]
    assert message.startswith(f"{path}/{lacking}.jsonl: the id 'b' of {other}.jsonl is missing there")
    assert "data.on_missing=drop" in message


def test_ids_missing_in_one_language_may_be_dropped_and_are_counted(folder):
    german = {"b": "Nenne einen Baum.", "c": "Nenne einen Vogel.", "x": "Nenne einen Fisch."}
    path = folder(en=ENGLISH, sw={"b": SWAHILI["b"]}, de=german)
    made = ParallelPrompts(str(path), on_missing="drop").prompts(["en", "sw", "de"])
    assert [(p.language, p.id) for p in made.prompts] == [("en", "b"), ("sw", "b"), ("de", "b")]
    assert made.skipped == {"en": {MISSING: 2}, "de": {MISSING: 2}}


def test_no_id_in_common(folder):
    path = folder(en={"a": "Name a river."}, sw={"b": "Taja mti."})
    assert "no id is in every language" in refused(path, on_missing="drop")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not here (ICR_SHARED_DATA)")
def test_the_authors_prompts_in_nine_languages():
    languages = ["en", "es", "ru", "de", "fr", "bn", "sw", "th", "zh"]
    made = ParallelPrompts(str(SHARED / "ultrafeedback_parallel"), on_missing="drop").prompts(languages)
    counts = {code: sum(p.language == code for p in made.prompts) for code in languages}
    assert len(set(counts.values())) == 1
    assert all(counts[code] + made.skipped.get(code, {}).get(MISSING, 0) == 1000 for code in languages)
    english = {p.id: p.text for p in made.prompts if p.language == "en"}
    assert all(p.english == english[p.id] for p in made.prompts)
