"""The lexicon, the instructions and their splits."""

from itertools import combinations

import pytest

from icr.errors import ConfigError, DataError
from icr.pocket.lexicon import languages
from icr.pocket.prompts import PocketPrompts
from icr.pocket.specs import SPLITS, Spec, specs

LANGUAGES = ["en", "es", "ru", "de", "fr", "bn", "sw", "th"]


def test_lexicon_is_parallel_and_complete():
    english = languages()["en"]
    assert set(languages()) == set(LANGUAGES)
    assert len(english.topics) >= 6
    for code, spoken in languages().items():
        assert spoken.code == code
        assert spoken.topics.keys() == english.topics.keys()
        assert spoken.numbers.keys() == english.numbers.keys() == {3, 4, 5}
        assert len(spoken.prompts) == len(english.prompts) == 2
        words = [word for topic in spoken.topics.values() for word in topic.words]
        assert all(len(topic.words) == 10 for topic in spoken.topics.values())
        assert len(set(words)) == len(words), "a word must have one meaning"
        assert not any(" " in word for word in words)


def test_ids_spell_the_instruction():
    spec = Spec("fruits", 3, "Max", 0, titled=True)
    assert spec.id == "fruits-3-max-0-titled"
    assert Spec.from_id(spec.id) == spec
    for split in SPLITS:
        assert all(Spec.from_id(spec.id) == spec for spec in specs(split))
    with pytest.raises(DataError, match="fruits-6-max-0-titled"):
        Spec.from_id("fruits-6-max-0-titled")


def test_splits_are_disjoint_and_of_the_stated_sizes():
    ids = {split: {spec.id for spec in specs(split)} for split in SPLITS}
    total = sum(map(len, ids.values()))
    assert total == 6 * 3 * 16 * 2 * 2
    assert all(not ids[a] & ids[b] for a, b in combinations(ids, 2))
    for split, share in {"sft": 0.4, "train": 0.3, "dev": 0.15, "test": 0.15}.items():
        assert len(ids[split]) / total == pytest.approx(share, abs=0.03)


def test_splits_are_the_same_in_every_process():
    assert [spec.id for spec in specs("train")[:3]] == [
        "fruits-4-lina-1-plain",
        "house-3-eva-1-titled",
        "house-3-lina-0-titled",
    ]


def test_prompts_are_parallel():
    prompts = PocketPrompts(prompts_per_language=None).prompts(LANGUAGES, "test").prompts
    by_language = {code: [prompt for prompt in prompts if prompt.language == code] for code in LANGUAGES}
    english = by_language["en"]
    assert len(english) == len(specs("test"))
    for spoken in by_language.values():
        assert [prompt.id for prompt in spoken] == [prompt.id for prompt in english]
        assert [prompt.english for prompt in spoken] == [prompt.text for prompt in english]
        assert len({prompt.text for prompt in spoken}) == len(spoken), "different instructions read differently"


@pytest.mark.parametrize(
    ("code", "plain", "titled"),
    [
        ("en", "List three fruits for Max.", "Max asks for a list of three fruits, with a title."),
        ("es", "Nombra tres frutas para Max.", "Max pide una lista de tres frutas, con título."),
        (
            "ru",
            "Напиши три слова на тему «фрукты» для Max.",
            "Max просит написать три слова на тему «фрукты», с заголовком.",
        ),
        ("bn", "Max-এর জন্য তিনটি ফলের নাম লেখো।", "Max শিরোনামসহ তিনটি ফলের নাম চায়।"),
        ("th", "เขียนชื่อผลไม้สามชื่อให้ Max", "Max ขอชื่อผลไม้สามชื่อ พร้อมหัวข้อ"),
    ],
)
def test_prompts_say_what_the_id_says(code, plain, titled):
    texts = {
        prompt.id: prompt.text
        for split in SPLITS
        for prompt in PocketPrompts(prompts_per_language=None).prompts([code], split).prompts
    }
    assert texts["fruits-3-max-0-plain"] == plain
    assert texts["fruits-3-max-1-titled"] == titled


def test_subsets_are_nested():
    def ids(count):
        return [prompt.id for prompt in PocketPrompts(prompts_per_language=count).prompts(["en"], "train").prompts]

    assert len(ids(16)) == 16
    assert ids(16) == ids(80)[:16]
    assert ids(80) == ids(None)[:80]


@pytest.mark.parametrize("count", [0, 10_000])
def test_too_many_prompts_are_refused(count):
    available = len(specs("train"))
    with pytest.raises(ConfigError, match=rf"data\.prompts_per_language is {count}.* has {available} prompts"):
        PocketPrompts(count).prompts(["en"], "train")
    with pytest.raises(ConfigError, match=rf"evaluation\.prompts\.prompts_per_language is {count}"):
        PocketPrompts(count).prompts(["en"], "dev")


def test_unknown_language_and_split_are_refused():
    with pytest.raises(ConfigError, match=r"'xx'.*en.*th"):
        PocketPrompts().prompts(["en", "xx"], "train")
    with pytest.raises(ConfigError, match=r"'validation'.*sft, train, dev, test"):
        PocketPrompts().prompts(["en"], "validation")
