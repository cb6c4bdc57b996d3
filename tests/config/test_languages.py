"""Language codes."""

from __future__ import annotations

import pytest

from icr.config.languages import NAMES, language_names
from icr.errors import ConfigError


def test_names_in_the_order_of_the_codes():
    assert language_names(["sw", "en", "zh"]) == {"sw": "Swahili", "en": "English", "zh": "Chinese"}


def test_languages_may_be_added_and_renamed():
    assert language_names(["tlh", "zh"], {"tlh": "Klingon", "zh": "Mandarin"}) == {"tlh": "Klingon", "zh": "Mandarin"}


def test_every_language_of_the_paper_is_known():
    assert {"en", "es", "ru", "de", "fr", "bn", "sw", "th", "zh"} <= set(NAMES)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (["eng"], r"langs.codes: 'eng' is not a known language code\. Did you mean en\? .* \+langs.names.eng=Klingon"),
        (["qqq"], r"'qqq' is not a known language code\. To add a language"),
        ([False], "YAML reads a bare no as false: write 'no'"),
        (["en", "sw", "en"], "langs.codes names 'en' twice"),
        ([], "langs.codes is empty"),
    ],
)
def test_refused(codes, message):
    with pytest.raises(ConfigError, match=message):
        language_names(codes)
