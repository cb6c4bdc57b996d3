"""Demonstrations and preferences from files."""

from __future__ import annotations

import json

import pytest

from icr.data.files import DemonstrationFile, PreferenceFile, given
from icr.data.prompts import ParallelPrompts
from icr.errors import DataError
from icr.types import Demonstration, Preference


@pytest.fixture
def file(tmp_path):
    def write(*rows) -> str:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(f"{json.dumps(row) if isinstance(row, dict) else row}\n" for row in rows))
        return str(path)

    return write


def test_demonstrations_of_the_languages_asked_for(file):
    path = file({"prompt": "a", "response": "b"}, {"prompt": "c", "response": "d", "language": "sw"})
    assert DemonstrationFile(path).demonstrations(["en"]) == [Demonstration("0", "en", "a", "b")]
    assert DemonstrationFile(path).demonstrations(["sw"]) == [Demonstration("1", "sw", "c", "d")]
    assert DemonstrationFile(path, cut=True).demonstrations(["sw"]) == [Demonstration("1", "sw", "c", "d", cut=True)]


def test_preferences(file):
    path = file({"prompt": "a", "chosen": "b", "rejected": "c"})
    assert PreferenceFile(path).preferences(["en"]) == [Preference("0", "en", "a", "b", "c")]


def test_what_a_source_gives_to_train_on(file, tmp_path):
    path = file({"prompt": "a", "chosen": "b", "rejected": "c", "response": "d"})
    assert given(DemonstrationFile(path), ["en"]) == [Demonstration("0", "en", "a", "d")]
    assert given(PreferenceFile(path), ["en"]) == [Preference("0", "en", "a", "b", "c")]
    assert given(ParallelPrompts(str(tmp_path)), ["en"]) == []


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"prompt": "a", "chosen": "b"}, "line 2: the field 'rejected' is missing (found: prompt, chosen)"),
        ({"prompt": "a", "chosen": "", "rejected": "c"}, "line 2: the field 'chosen' is empty"),
        ({"prompt": 1, "chosen": "b", "rejected": "c"}, "line 2: the field 'prompt' must be a string, found int"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "language": 7}, "line 2: the field 'language' must be"),
        ("{", "line 2: not valid JSON"),
    ],
)
def test_a_bad_line_is_named(row, what, file):
    path = file({"prompt": "a", "chosen": "b", "rejected": "c"}, row)
    with pytest.raises(DataError) as error:
        PreferenceFile(path).preferences(["en"])
    assert str(error.value).startswith(f"{path}, {what}")


def test_no_line_in_the_languages_of_the_run(file):
    path = file({"prompt": "a", "response": "b", "language": "de"})
    with pytest.raises(DataError) as error:
        DemonstrationFile(path).demonstrations(["en", "sw"])
    assert str(error.value) == f"{path} has no line in en, sw (langs.codes); languages found: de."


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"There is no file .*/none.jsonl"):
        DemonstrationFile(str(tmp_path / "none.jsonl")).demonstrations(["en"])
