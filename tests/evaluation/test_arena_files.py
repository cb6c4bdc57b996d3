"""m-ArenaHard's files: prompts from JSON lines and Parquet, reference answers, and mistakes in them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from icr.errors import ConfigError, DataError
from icr.evaluation import ArenaAnswers, ArenaPrompts
from icr.types import Prompt


def rows(language: str, *, shuffled: bool = False) -> list[dict]:
    made = [
        {
            "question_id": f"q{n}",
            "category": kind,
            "subcategory": "x",
            "prompt": f"{language} {n}",
            "language": language,
        }
        for n, kind in enumerate(["hard_prompt", "creative_writing", "hard_prompt"])
    ]
    return made[::-1] if shuffled else made


@pytest.fixture
def folder(tmp_path):
    """English as JSON lines, Spanish as one Parquet file, French as two shards in a folder."""
    (tmp_path / "en.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows("en")), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows("es", shuffled=True)), tmp_path / "es.parquet")
    (tmp_path / "fr").mkdir()
    for n, part in enumerate([rows("fr")[:2], rows("fr")[2:]]):
        pq.write_table(pa.Table.from_pylist(part), tmp_path / "fr" / f"test-{n}.parquet")
    return tmp_path


def test_prompts_of_every_language_are_joined_by_their_id(folder):
    found = ArenaPrompts(str(folder), full_set=3).prompts(["es", "fr"])
    assert found.prompts == [Prompt(f"q{n}", code, f"{code} {n}", f"en {n}") for code in ("es", "fr") for n in range(3)]


def test_a_part_of_the_set(folder):
    few = ArenaPrompts(str(folder), prompts_per_language=2).prompts(["en"])
    assert [prompt.id for prompt in few.prompts] == ["q0", "q1"]
    creative = ArenaPrompts(str(folder), categories=["creative_writing"], full_set=3).prompts(["fr"])
    assert [prompt.text for prompt in creative.prompts] == ["fr 1"]


def test_reference_answers(folder):
    (folder / "a_es.jsonl").write_text(
        '{"question_id": "q1", "answer": "uno"}\n{"question_id": "q9", "answer": "nueve"}\n', encoding="utf-8"
    )
    prompts = ArenaPrompts(str(folder), full_set=3).prompts(["es"]).prompts
    assert ArenaAnswers(f"{folder}/a_{{language}}.jsonl").answers(prompts) == {("q1", "es"): "uno"}
    with (folder / "a_es.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"question_id": "q1", "answer": "dos"}\n')
    with pytest.raises(DataError, match="'q1' is answered a second time"):
        ArenaAnswers(f"{folder}/a_{{language}}.jsonl").answers(prompts)
    with pytest.raises(ValueError, match=r"files must have \{language\}"):
        ArenaAnswers("answers.jsonl")


def test_mistakes_are_named(folder):
    with pytest.raises(DataError, match="en has 3 prompts, not 498"):
        ArenaPrompts(str(folder)).prompts(["en"])
    whole = ArenaPrompts(str(folder), full_set=None)
    with pytest.raises(DataError, match=r"no sw\.jsonl, no sw\.parquet"):
        whole.prompts(["sw"])
    with pytest.raises(DataError, match="does not exist"):
        ArenaPrompts(str(folder / "nowhere")).prompts(["en"])
    with pytest.raises(ConfigError, match="there is no 'maths'; there are creative_writing, hard_prompt"):
        ArenaPrompts(str(folder), categories=["maths"], full_set=None).prompts(["en"])
    with pytest.raises(ConfigError, match=r"is 4, but .* has 3"):
        ArenaPrompts(str(folder), prompts_per_language=4).prompts(["en"])
    with pytest.raises(ConfigError, match="test prompts only"):
        whole.prompts(["en"], "dev")
    (folder / "de.jsonl").write_text(json.dumps(rows("de")[0]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="de lacks 2 of the ids of en, the first of them 'q1'"):
        whole.prompts(["de"])
    (folder / "ru.parquet").write_text("no Parquet", encoding="utf-8")
    with pytest.raises(DataError, match=r"ru\.parquet is no Parquet file"):
        whole.prompts(["ru"])
