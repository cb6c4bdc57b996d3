"""Language codes and their English names, as the crosslingual reward prompt needs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from icr.errors import ConfigError, near

NAMES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian",
    "bn": "Bengali", "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati", "ha": "Hausa", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "ig": "Igbo", "is": "Icelandic",
    "it": "Italian", "ja": "Japanese", "jv": "Javanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer",
    "kn": "Kannada", "ko": "Korean", "ky": "Kyrgyz", "lo": "Lao", "lt": "Lithuanian", "lv": "Latvian",
    "mg": "Malagasy", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay",
    "mt": "Maltese", "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "or": "Odia", "pa": "Punjabi",
    "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "si": "Sinhala",
    "sk": "Slovak", "sl": "Slovenian", "sn": "Shona", "so": "Somali", "sq": "Albanian", "sr": "Serbian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "tg": "Tajik", "th": "Thai", "tl": "Tagalog",
    "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "xh": "Xhosa",
    "yo": "Yoruba", "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip


def language_names(codes: Iterable[object], extra: Mapping[str, object] | None = None) -> dict[str, str]:
    """English name of each code; `extra` (config `langs.names`) adds languages or replaces names.

    Raises:
        ConfigError: a code is unknown, named twice, or has a name that is none.
    """
    for added, name in (extra or {}).items():
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"langs.names.{added} must be the language's English name, got {name!r}.")
    known = {**NAMES, **{code: str(name) for code, name in (extra or {}).items()}}
    names: dict[str, str] = {}
    for code in codes:
        if not isinstance(code, str) or code not in known:
            hint = " YAML reads a bare no as false: write 'no'." if code is False else near(str(code), known)
            raise ConfigError(
                f"langs.codes: {code!r} is not a known language code.{hint} To add a language, give its English name, "
                f"as in +langs.names.{code}=Klingon."
            )
        if code in names:
            raise ConfigError(f"langs.codes names {code!r} twice; give each language once.")
        names[code] = known[code]
    if not names:
        raise ConfigError("langs.codes is empty; give at least one language, as in langs.codes=[en,sw].")
    return names
