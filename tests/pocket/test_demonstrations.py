"""Demonstrations: how many, how good, and of what."""

from statistics import mean

import pytest

from icr.pocket.answers import read
from icr.pocket.demonstrations import PocketDemonstrations
from icr.pocket.lexicon import languages
from icr.pocket.specs import Spec, specs

LANGUAGES = ["en", "es", "ru", "de", "fr", "bn", "sw", "th"]
SOURCE = PocketDemonstrations(seed=0)
DEMONSTRATIONS = SOURCE.demonstrations(LANGUAGES)


def kind(code, crosslingual):
    return [one for one in DEMONSTRATIONS if one.language == code and ("-x" in one.id) == crosslingual]


@pytest.mark.parametrize(
    ("code", "crosslingual", "mixture"),
    [
        ("en", False, SOURCE.english),
        ("fr", False, SOURCE.own_language["high"]),
        ("th", False, SOURCE.own_language["low"]),
        ("ru", True, SOURCE.crosslingual["high"]),
        ("sw", True, SOURCE.crosslingual["low"]),
    ],
)
def test_rates_are_as_stated(code, crosslingual, mixture):
    mine = kind(code, crosslingual)
    assert len(mine) == mixture.count
    readings = [read(one.response, Spec.from_id(one.id.rpartition("-")[0]), languages()[code]) for one in mine]
    assert all(reading.valid == 1 and reading.well_formed for reading in readings)
    tolerance = 3.5 * (0.25 / mixture.count) ** 0.5
    for name in ("complete", "distinct", "concise", "closed"):
        assert mean(getattr(reading.marks, name) for reading in readings) == pytest.approx(mixture.good, abs=tolerance)
    assert mean(reading.marks.titled for reading in readings) == pytest.approx(mixture.titled, abs=tolerance)


def test_only_the_sft_split_and_ids_of_their_own():
    ids = [(one.language, one.id) for one in DEMONSTRATIONS]
    assert len(set(ids)) == len(ids)
    assert {one.id.rpartition("-")[0] for one in DEMONSTRATIONS} <= {spec.id for spec in specs("sft")}


def test_crosslingual_demonstrations_answer_the_reward_prompt():
    one = kind("sw", True)[0]
    assert one.prompt.startswith(
        "Please answer the following instruction using only Swahili,"
        " unless explicitly instructed to respond in a different language.\n\n"
    )
    custom = PocketDemonstrations(reward_prompt_template="{instruction} ({language})").demonstrations(["sw"])
    assert any(demonstration.prompt.endswith(" (Swahili)") for demonstration in custom)
    assert not kind("en", True)


def test_draw_depends_on_seed_and_language_alone():
    assert PocketDemonstrations(seed=0).demonstrations(["th"]) == [
        one for one in DEMONSTRATIONS if one.language == "th"
    ]
    assert PocketDemonstrations(seed=1).demonstrations(["th"]) != PocketDemonstrations(seed=0).demonstrations(["th"])
