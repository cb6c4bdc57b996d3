"""AlpacaEval's files: prompts in many languages, and answers joined to them."""

from __future__ import annotations

import json

import pytest

from icr.errors import ConfigError, DataError
from icr.evaluation import AlpacaPrompts, AnswerFiles
from icr.types import Prompt

ROWS = [{"id": 1, "instruction": "one"}, {"id": "b", "instruction": "two"}]


def written(path, rows):
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows), encoding="utf-8")


@pytest.fixture
def prompts(tmp_path):
    """`prompts(rows of a language…, settings…)`: the source of a folder."""

    def make(en=ROWS, sw=ROWS, **settings):
        written(tmp_path / "en.json", en)
        written(tmp_path / "sw.json", sw)
        return AlpacaPrompts(str(tmp_path), **{"full_set": 2, **settings})

    return make


def test_prompts_are_joined_by_id(prompts):
    swahili = [{"id": "b", "instruction": "mbili"}, {"id": 1, "instruction": "moja"}]
    found = prompts(sw=swahili).prompts(["sw", "en"])
    assert found.prompts == [
        Prompt("1", "sw", "moja", "one"),
        Prompt("b", "sw", "mbili", "two"),
        Prompt("1", "en", "one", "one"),
        Prompt("b", "en", "two", "two"),
    ]
    fewer = prompts(prompts_per_language=1, full_set=805).prompts(["sw"]).prompts
    assert [prompt.id for prompt in fewer] == ["1"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"full_set": 805}, DataError, "has 2 prompts, not 805. For a part of the set, ask for it with"),
        ({"sw": ROWS[:1], "full_set": None}, DataError, "sw lacks 1 of the ids of en, the first of them 'b'"),
        ({"prompts_per_language": 3}, ConfigError, "prompts_per_language is 3, but .* has 2"),
        ({"en": [ROWS[0], ROWS[0]]}, DataError, "en.json, row 2: the id '1' comes a second time"),
        ({"en": [{"id": 1}]}, DataError, "en.json, row 1: the field 'instruction' is missing"),
        ({"en": [{"instruction": "x"}]}, DataError, "row 1: the field 'id' must be a number or a string, found None"),
        ({"en": "{"}, DataError, "en.json is no JSON"),
        ({"en": {}}, DataError, "should hold a list, not a dict"),
        ({"en": ["x"]}, DataError, "row 1: expected an object, found str"),
    ],
)
def test_files_that_are_not_as_they_should_be(given, error, message, prompts):
    with pytest.raises(error, match=message):
        prompts(**given).prompts(["en", "sw"])


def test_there_are_test_prompts_only(prompts, tmp_path):
    with pytest.raises(ConfigError, match="test prompts only, not 'dev'"):
        prompts().prompts(["en"], "dev")
    with pytest.raises(DataError, match="There is no file"):
        prompts().prompts(["de"])
    with pytest.raises(DataError, match="does not exist"):
        AlpacaPrompts(str(tmp_path / "nowhere")).prompts(["en"])


ASKED = [Prompt("1", "sw", "moja", "one"), Prompt("b", "sw", "mbili", "two")]


def answers(tmp_path, *rows):
    written(tmp_path / "model.sw.json", list(rows))
    return AnswerFiles(str(tmp_path / "model.{language}.json")).answers(ASKED)


def test_answers_are_joined_by_id_or_by_instruction(tmp_path):
    rows = [{"instruction": "mbili", "output": "B"}, {"instruction": "moja", "output": ""}]
    expected = {("1", "sw"): "", ("b", "sw"): "B"}
    assert answers(tmp_path, *rows) == expected
    with_ids = [{"id": id, **row} for id, row in zip(["b", 1], rows, strict=True)]
    assert answers(tmp_path, *with_ids) == expected
    assert answers(tmp_path, *with_ids, {"id": 9, "instruction": "tatu", "output": "C"}) == expected


def test_answers_to_other_prompts_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"row 1: its instruction is not that of prompt 'b' in 'sw'"):
        answers(tmp_path, {"id": "b", "instruction": "moja", "output": "B"})
    with pytest.raises(DataError, match=r"row 1: the field 'output' must be a string, found NoneType"):
        answers(tmp_path, {"id": 1, "instruction": "moja", "output": None})
    with pytest.raises(ValueError, match=r"files must have \{language\} in it"):
        AnswerFiles("model.json")
