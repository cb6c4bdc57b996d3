"""Marks worked by hand."""

from itertools import product
from statistics import mean

import pytest

from icr.judges import Answer, Comparison, is_pointwise, pairwise
from icr.pocket import PocketJudge, PocketReferences
from icr.pocket.answers import Marks, compose, read
from icr.pocket.lexicon import languages
from icr.pocket.prompts import PocketPrompts
from icr.pocket.specs import Spec, dice
from icr.types import Prompt

JUDGE = PocketJudge()
REFERENCES = PocketReferences()
TITLED, PLAIN = "fruits-3-max-0-titled", "fruits-3-max-0-plain"


def prompt(id, language):
    return Prompt(id, language, "", "")


def score_of(one, text, judge=JUDGE):
    """The score of one answer."""
    return judge.score([Answer(one, text)])[0].value


# Each answer is good but for what is named.
ENGLISH = {
    "": "# Fruits\napple, banana, orange\nThis is for Max.",
    "complete": "# Fruits\napple, banana\nThis is for Max.",
    "distinct": "# Fruits\napple, banana, banana\nThis is for Max.",
    "titled": "apple, banana, orange\nThis is for Max.",
    "concise": "OK, here is the list:\n# Fruits\napple, banana, orange\nThis is for Max.",
    "closed": "# Fruits\napple, banana, orange",
}
BENGALI = {
    "": "# ফল\nআপেল, কলা, কমলা\nএটি Max-এর জন্য।",
    "complete": "# ফল\nআপেল, কলা, কমলা, আম\nএটি Max-এর জন্য।",
    "distinct": "# ফল\nআপেল, কলা, আপেল\nএটি Max-এর জন্য।",
    "titled": "আপেল, কলা, কমলা\nএটি Max-এর জন্য।",
    "concise": "OK, এই হলো তালিকা:\n# ফল\nআপেল, কলা, কমলা\nএটি Max-এর জন্য।",
    "closed": "# ফল\nআপেল, কলা, কমলা",
}
THAI = {
    "": "# ผลไม้\nกล้วย, ส้ม, มะม่วง\nรายการนี้สำหรับ Max",
    "complete": "# ผลไม้\nกล้วย\nรายการนี้สำหรับ Max",
    "distinct": "# ผลไม้\nกล้วย, ส้ม, ส้ม\nรายการนี้สำหรับ Max",
    "titled": "กล้วย, ส้ม, มะม่วง\nรายการนี้สำหรับ Max",
    "concise": "OK, นี่คือรายการ:\n# ผลไม้\nกล้วย, ส้ม, มะม่วง\nรายการนี้สำหรับ Max",
    "closed": "# ผลไม้\nกล้วย, ส้ม, มะม่วง",
}
ANSWERS = [
    (code, fault, text)
    for code, texts in {"en": ENGLISH, "bn": BENGALI, "th": THAI}.items()
    for fault, text in texts.items()
]


@pytest.mark.parametrize(("code", "fault", "text"), ANSWERS)
def test_each_mark_alone_costs_a_fifth(code, fault, text):
    marks = JUDGE.marks(prompt(TITLED, code), text)
    assert score_of(prompt(TITLED, code), text) == pytest.approx(0.8 if fault else 1.0)
    assert {name for name, value in marks.items() if value < 1} == ({fault} if fault else set())


def test_title_is_wrong_where_none_was_asked_for():
    assert score_of(prompt(PLAIN, "en"), ENGLISH[""]) == pytest.approx(0.8)
    assert score_of(prompt(PLAIN, "en"), ENGLISH["titled"]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        # one of three items is of another topic: 6 of 7 words belong, and it is one item short
        ("apple, banana, dog\nThis is for Max.", 6 / 7 * 0.8),
        # the same with a word of another language
        ("apple, banana, naranja\nThis is for Max.", 6 / 7 * 0.8),
        # another name: 6 of 7 words belong; the line is no closing, so neither closed nor concise, nor well-formed
        ("apple, banana, orange\nThis is for Ana.", 6 / 7 * 0.6 - 0.1),
        # the closing twice: all marks, not well-formed
        ("apple, banana, orange\nThis is for Max.\nThis is for Max.", 1.0 - 0.1),
        # no comma between two items: one item is listed (incomplete), not well-formed
        ("apple, banana orange\nThis is for Max.", 0.8 - 0.1),
        # a heading of another topic is taken for the list, so nothing is listed
        ("# Animals\napple, banana, orange", -0.1),
        # a filler after the list is no filler, but what the judge calls malformed
        ("apple, banana, orange\nOK, here is the list:\nThis is for Max.", 0.8 - 0.1),
        # a closing that does not close
        ("apple, banana, orange\nThis is for Max.\nOK, here is the list:", 0.6 - 0.1),
        ("This is for Max.", -0.1),
        ("", -0.1),
    ],
)
def test_junk_and_malformed_answers(text, score):
    assert score_of(prompt(PLAIN, "en"), text) == pytest.approx(score)


def test_answers_in_the_wrong_language_earn_nothing():
    assert score_of(prompt(TITLED, "es"), ENGLISH[""]) <= 0
    assert score_of(prompt(TITLED, "sw"), BENGALI[""]) <= 0


def test_composed_answers_read_as_composed():
    for code, good in product(languages(), product((False, True), repeat=5)):
        for id in (TITLED, PLAIN, "house-5-zoe-1-titled"):
            spec, spoken = Spec.from_id(id), languages()[code]
            reading = read(compose(spec, spoken, Marks(*good), dice(code, good)), spec, spoken)
            assert (reading.marks, reading.valid, reading.well_formed) == (Marks(*good), 1.0, True)


def test_reference_answers():
    prompts = PocketPrompts(prompts_per_language=None).prompts(list(languages()), "train").prompts
    answers = REFERENCES.answers(prompts)
    marks = [JUDGE.marks(one, answers[one.id, one.language]) for one in prompts]
    for name in ("complete", "distinct", "titled", "concise", "closed"):
        assert mean(mark[name] for mark in marks) == pytest.approx(0.6, abs=0.03)  # 3.3 standard deviations
    assert mean(score_of(one, answers[one.id, one.language]) for one in prompts) == pytest.approx(0.6, abs=0.015)
    assert PocketReferences().answers(prompts[:9]) == {key: answers[key] for key in list(answers)[:9]}
    # with another language, another answer: not one translated eight times
    assert len({tuple(mark.values()) for one, mark in zip(prompts, marks, strict=True) if one.id == prompts[0].id}) > 1


def test_the_skill_of_reference_answers():
    one = prompt(TITLED, "th")
    assert score_of(one, PocketReferences(skill=1.0).answers([one])[TITLED, "th"]) == 1.0
    with pytest.raises(ValueError, match="skill must be at least 0"):
        PocketReferences(skill=1.1)


def test_it_scores_and_compares():
    assert is_pointwise(JUDGE)
    assert pairwise(JUDGE) is JUDGE
    one = prompt(TITLED, "en")
    pairs = [("", "closed"), ("closed", ""), ("titled", "closed"), ("", "")]
    verdicts = JUDGE.compare([Comparison(one, ENGLISH[a], ENGLISH[b]) for a, b in pairs])
    assert [verdict.preference for verdict in verdicts] == [1.0, 0.0, 0.5, 0.5]
    assert [(verdict.score, verdict.reference_score) for verdict in verdicts] == [
        (score_of(one, ENGLISH[a]), score_of(one, ENGLISH[b])) for a, b in pairs
    ]


def test_what_is_malformed_costs_what_is_set():
    text = "apple, banana orange\nThis is for Max."
    assert score_of(prompt(PLAIN, "en"), text, PocketJudge(malformed=0.3)) == pytest.approx(0.8 - 0.3)
