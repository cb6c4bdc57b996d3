"""The language gate on sentences of each language, and in a round."""

from __future__ import annotations

import sys

import pytest

from icr.data import language_id
from icr.errors import ConfigError
from icr.rounds.gates import LanguageGate

SENTENCES = {
    "en": "Here is a short list of the animals that live on the farm.",
    "es": "Esta es una lista corta de los animales que viven en la granja.",
    "ru": "Вот короткий список животных, которые живут на ферме.",
    "de": "Hier ist eine kurze Liste der Tiere, die auf dem Hof leben.",
    "fr": "Voici une courte liste des animaux qui vivent à la ferme.",
    "bn": "খামারে যে প্রাণীরা থাকে তাদের একটি ছোট তালিকা এখানে দেওয়া হলো।",
    "sw": "Hii ni orodha fupi ya wanyama wanaoishi shambani.",
    "th": "นี่คือรายการสั้น ๆ ของสัตว์ที่อาศัยอยู่ในฟาร์ม",
    "zh": "这是住在农场里的动物的简短清单。",
}


@pytest.mark.parametrize("expected", SENTENCES)
def test_only_the_expected_language_passes(expected):
    gate = LanguageGate(list(SENTENCES))
    assert {code for code, text in SENTENCES.items() if gate(expected, text)} == {expected}


def test_what_cannot_be_told_passes():
    gate = LanguageGate(list(SENTENCES))
    assert gate("sw", "")
    assert gate("de", "42")


def test_bad_settings_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="confidence must be above"):
        LanguageGate(["en"], confidence=0.3)
    with pytest.raises(ConfigError, match="cannot identify tlh"):
        LanguageGate(["en", "tlh"])
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    language_id.identifier.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'icr\[language\]'"):
        LanguageGate(["en"])
