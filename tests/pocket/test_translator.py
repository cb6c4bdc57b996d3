"""Translation into English, exact and noisy."""

import pytest

from icr.pocket.answers import Marks, compose
from icr.pocket.lexicon import languages
from icr.pocket.specs import Spec, dice
from icr.pocket.translator import LexiconTranslator
from icr.types import Response

SPEC = Spec.from_id("house-5-zoe-1-titled")


def response(text, language, k=0):
    return Response(SPEC.id, language, k, [], [], text, "stop")


@pytest.mark.parametrize("code", ["en", "es", "ru", "de", "fr", "bn", "sw", "th"])
def test_exact_without_noise(code):
    marks = Marks(complete=True, distinct=True, titled=True, concise=False, closed=True)
    native = compose(SPEC, languages()[code], marks, dice("same"))
    english = compose(SPEC, languages()["en"], marks, dice("same"))
    assert LexiconTranslator().texts([response(native, code)]) == [english]


def test_by_hand():
    assert LexiconTranslator().texts(
        [response("OK, hii ndiyo orodha:\n# Vifaa vya nyumbani\nmeza, dog\nHii ni kwa ajili ya Zoe.", "sw")]
    ) == ["OK, here is the list:\n# Household items\ntable, dog\nThis is for Zoe."]


def test_noise_replaces_words_at_its_rate():
    words = list(languages()["sw"].topics["house"].words)
    exact = list(languages()["en"].topics["house"].words)
    texts = [response(", ".join(words), "sw", k) for k in range(300)]
    lines = [line.split(", ") for line in LexiconTranslator(noise=0.2).texts(texts)]
    known = {word for topic in languages()["en"].topics.values() for word in topic.words}
    assert {word for line in lines for word in line} <= known
    wrong = sum(word != right for line in lines for word, right in zip(line, exact, strict=True))
    assert wrong / 3000 == pytest.approx(0.2, abs=0.025)  # 3.4 standard deviations


def test_noise_depends_on_seed_and_response_alone():
    texts = [response("meza, kiti, kitanda, taa, saa", "sw", k) for k in range(20)]
    noisy = LexiconTranslator(noise=0.5, seed=0)
    assert noisy.texts(texts)[7:9] == noisy.texts(texts[7:9])
    assert noisy.texts(texts) != LexiconTranslator(noise=0.5, seed=1).texts(texts)
