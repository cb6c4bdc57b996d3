"""Language identification of short and cut answers: which library a gate and a figure should ask.

    python3 -m venv /tmp/lid && /tmp/lid/bin/pip install -r experiments/language_id/requirements.txt
    /tmp/lid/bin/python experiments/language_id/compare.py            # 10 minutes; CSV files beside this one

Texts are answers of gpt-4-turbo to X-AlpacaEval (Russian: the prompts, there being no answers) from `$ICR_SHARED_DATA`,
cut at a number of characters. Two rates for each language `l` of a run, at a confidence `c`: a text in `l` is *refused
falsely* where another of the run's languages has a probability of `c` or more, and a text in another language is
*missed* where none but `l` has.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from identifiers import CANDIDATES, Probabilities

HERE = Path(__file__).parent
SETS = {
    "high": ("en", "es", "ru", "de", "fr"),
    "low": ("en", "bn", "sw", "th"),
    "nine": ("en", "es", "ru", "de", "fr", "bn", "sw", "th", "zh"),
}
CUTS = (20, 50, 100, 200, None)
OUTPUTS = "x_alpacaeval/outputs/gpt-4-turbo-2024-04-09"
CONFIDENCE = 0.9
# Answers that are in no language: to refuse one of them in any language is an error.
NO_LANGUAGE = (
    "42",
    "3.14159",
    "E = mc²",
    "$\\frac{1}{2}$",
    "a² + b² = c²",
    "x = (-b ± √(b² - 4ac)) / 2a",
    "1, 1, 2, 3, 5, 8, 13, 21",
    "✅",
    "```python\nfor i in range(10):\n    print(i)\n```",
    "SELECT name FROM users WHERE id = 1;",
    "def f(x): return x * x",
    '<div class="row"></div>',
    "https://example.org/a/b?c=1",
    "- Meryl Streep\n- Hugh Jackman\n- Sarah Jessica Parker",
    "Albert Einstein, Niels Bohr, Werner Heisenberg",
    "Python, JavaScript, C++",
    "BTC, ETH, USDT",
    "H₂O, CO₂, NaCl",
    "(B)",
    "A\nB\nC",
)
Row = dict[str, object]
Found = Mapping[str, Sequence[tuple[str, float]]]
"""The best language and its probability of each text, by the language that the text is in."""


def read_texts(data: Path) -> dict[str, list[str]]:
    """The texts of each language, in the order of the prompts; Russian prompts stand for answers."""
    texts = {code: _field(data / f"{OUTPUTS}.{code}.json", "output") for code in SETS["nine"] if code != "ru"}
    return texts | {"ru": _field(data / "x_alpacaeval/instructions/ru.json", "instruction")}


def _field(path: Path, name: str) -> list[str]:
    return [row[name] for row in json.loads(path.read_text(encoding="utf-8"))]


def best(probabilities: Probabilities) -> tuple[str, float]:
    """The most probable language and its probability; ("", 0) where the library abstains or all are equal."""
    if not probabilities or (len(probabilities) > 1 and len(set(probabilities.values())) == 1):
        return "", 0.0
    return max(probabilities.items(), key=lambda item: item[1])


def refuses(found: tuple[str, float], language: str, confidence: float = CONFIDENCE) -> bool:
    """Whether a gate that was promised `language` refuses a text in which `found` was found."""
    return found[0] != language and found[1] >= confidence


def in_their_language(texts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The texts without those that really are in another language.

    These are the ones of which three libraries or more say something, and all that do name the same other language.
    """
    identifiers = [make(SETS["nine"]) for make in CANDIDATES.values()]
    kept: dict[str, list[str]] = {}
    for language, rows in texts.items():
        kept[language] = []
        for text in rows:
            named = [name for name, _ in (best(identify(text)) for identify in identifiers) if name]
            if not (len(named) >= 3 and len(set(named)) == 1 and named[0] != language):
                kept[language].append(text)
        left_out = len(rows) - len(kept[language])
        print(f"{language}: {left_out} of {len(rows)} texts are in another language by all libraries")
    return kept


def hard(text: str, language: str) -> Iterable[str]:
    """The kinds of difficulty that an answer has."""
    if "```" in text:
        yield "code"
    if len(re.findall(r"^\s*(?:[-*•]|\d+[.)])\s", text, re.MULTILINE)) >= 5:
        yield "list"
    if re.search(r"\\\(|\\\[|\$[^$\n]+\$", text) or text.count("=") >= 3:
        yield "formula"
    letters = [c for c in text if c.isalpha()]
    if language in ("ru", "bn", "th", "zh") and sum(c < "\u0250" for c in letters) > 0.3 * len(letters):
        yield "Latin names"
    if len(text) < 60:
        yield "under 60 characters"


def rates(found: Found, languages: Sequence[str], confidence: float) -> dict[str, dict[str, float]]:
    """Accuracy, false refusals and missed texts for each language, in %."""

    def share(hits: Iterable[bool]) -> float:
        values = list(hits)
        return 100 * sum(values) / len(values)

    def missed(language: str, others: Iterable[str]) -> float:
        return share(not refuses(one, language, confidence) for other in others for one in found[other])

    return {
        language: {
            "texts": len(found[language]),
            "accuracy": share(one[0] == language for one in found[language]),
            "abstained": share(one[0] == "" for one in found[language]),
            "false_refusals": share(refuses(one, language, confidence) for one in found[language]),
            "missed_english": 0.0 if language == "en" else missed(language, ["en"]),
            "missed_other": missed(language, [other for other in languages if other != language]),
        }
        for language in languages
    }


def speed(name: str, texts: Mapping[str, Sequence[str]], cut: int | None) -> float:
    """Texts a second, over 20 of each language, after a first one."""
    identify = CANDIDATES[name](SETS["nine"])
    rows = [text[:cut] for language in texts for text in texts[language][:20]]
    identify(rows[0])
    start = time.perf_counter()
    for row in rows:
        identify(row)
    return len(rows) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("ICR_SHARED_DATA", HERE / "../../../shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--rows", type=int, help="the first rows of each language alone")
    arguments = parser.parse_args()
    texts = {language: rows[: arguments.rows] for language, rows in read_texts(arguments.data).items()}
    texts = in_their_language(texts)
    tables: dict[str, list[Row]] = {"results": [], "confusion": [], "hard_cases": [], "confidences": []}
    for name, make in CANDIDATES.items():
        for group, languages in SETS.items():
            identify = make(languages)
            for cut in CUTS:
                found = {code: [best(identify(text[:cut])) for text in texts[code]] for code in languages}
                where: Row = {"library": name, "languages": group, "cut": cut or "whole"}
                for table, rows in measured(found, texts, languages).items():
                    tables[table] += [{**where, **row} for row in rows]
        identify = make(SETS["nine"])
        snippets = [best(identify(text)) for text in NO_LANGUAGE]
        refused = sum(refuses(one, language) for one in snippets for language in SETS["nine"])
        print(f"{name}: {speed(name, texts, 100):.0f} texts/s at 100 characters, {speed(name, texts, None):.0f} whole;")
        print(f"    {refused} of {len(NO_LANGUAGE) * 9} refusals of texts in no language")
    for table, rows in tables.items():
        write(f"{table}.csv", rows)


def measured(found: Found, texts: Mapping[str, Sequence[str]], languages: Sequence[str]) -> dict[str, list[Row]]:
    """The rows of each table; of hard cases and confidences only with all nine languages."""
    by_language = rates(found, languages, CONFIDENCE)
    tables: dict[str, list[Row]] = {
        "results": [{"language": language, **row} for language, row in by_language.items()],
        "confusion": [
            {"language": language, "found": other, "texts": count}
            for language in languages
            for other, count in Counter(one[0] or "none" for one in found[language]).items()
        ],
    }
    if languages == SETS["nine"]:
        tables["confidences"] = [
            {"confidence": c, **averaged(rates(found, languages, c))} for c in (0.5, 0.7, 0.9, 0.99)
        ]
        tables["hard_cases"] = by_kind(texts, found)
    return tables


def averaged(by_language: Mapping[str, Mapping[str, float]]) -> Row:
    """The plain mean over languages of each rate; missed English over the others alone."""

    def mean(key: str, languages: Sequence[str]) -> float:
        return sum(by_language[language][key] for language in languages) / len(languages)

    every = list(by_language)
    row: Row = {key: mean(key, every) for key in ("accuracy", "false_refusals", "missed_other")}
    return row | {"missed_english": mean("missed_english", [language for language in every if language != "en"])}


def by_kind(texts: Mapping[str, Sequence[str]], found: Found) -> list[Row]:
    """False refusals among the hard cases of all languages."""
    totals, refused = Counter[str](), Counter[str]()
    for language, rows in texts.items():
        for text, one in zip(rows, found[language], strict=True):
            for kind in hard(text, language):
                totals[kind] += 1
                refused[kind] += refuses(one, language)
    return [{"kind": kind, "texts": n, "false_refusals": 100 * refused[kind] / n} for kind, n in sorted(totals.items())]


def write(name: str, rows: Sequence[Row]) -> None:
    """One CSV file beside this one, floats to two decimals."""
    with (HERE / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{cell:.2f}" if isinstance(cell, float) else cell for key, cell in row.items()})


if __name__ == "__main__":
    main()
