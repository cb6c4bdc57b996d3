"""What runs in circles and what does not, in made-up loops, legitimate repetition and real answers."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from icr.evaluation.repetition import LENGTH, SHARE, repeats

ROOT = Path(__file__).parents[2]
PROSE = (
    "The lighthouse keeper counted the ships that passed below him in the fog, wrote their names into a book, and "
    "lit the lamp an hour before the others did. Nobody on the coast knew why. His daughter, who had left for the "
    "city, sent him a postcard each month with a stamp of a bird that he had never seen; he pinned all of them above "
    "the stove. When the storm came in March it took the jetty, two boats and the roof of the chapel."
)


@pytest.mark.parametrize(
    "text",
    [
        "the " * 30,
        "ha" * 40,
        "The sky is blue and the sea is deep. " * 5,
        "รายการนี้สำหรับคุณ" * 6,
        "我认为这是一个很好的问题。" * 5,
        "এটি একটি ভালো প্রশ্ন। " * 5,
        PROSE + " and so on" * 40,
        "\n".join(f"{n}. Drink a glass of water before you go to bed." for n in range(1, 30)),
    ],
)
def test_loops_are_seen_in_any_script_and_wherever_they_begin(text):
    assert repeats(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the the the the",
        "ใช่ ใช่ ใช่ ใช่",
        PROSE,
        PROSE + "\n\n" + PROSE,
        "| day | sun | rain |\n|---|---|---|\n"
        + "\n".join(f"| {n} | {n * 7 % 24} h | {n * 13 % 40} mm |" for n in range(31)),
        "\n".join(f"- {a} and {b}" for a, b in zip(PROSE.split(), PROSE.split()[5:], strict=False)),
        "\ud800" * 3,
    ],
)
def test_short_texts_lists_tables_and_a_second_copy_are_none(text):
    assert not repeats(text)


def test_the_share_by_counting_passages_one_by_one():
    rng = random.Random(0)
    for _ in range(50):
        text = " ".join(rng.choice(["ab", "abc", "x", "the same words again"]) for _ in range(rng.randint(10, 40)))
        before: Counter[str] = Counter()
        third = []
        for start in range(len(text) - LENGTH + 1):
            passage = text[start : start + LENGTH]
            third.append(before[passage] >= 2)
            before[passage] += 1
        half = third[len(third) // 2 :]
        assert repeats(text) == (len(text) >= 40 and sum(half) / len(half) >= SHARE)


def test_hardly_any_real_answer_counts():
    folder = Path(os.environ.get("ICR_SHARED_DATA", ROOT / "../shared/data")) / "x_alpacaeval/outputs"
    if not folder.is_dir():
        pytest.skip("no answers on X-AlpacaEval: $ICR_SHARED_DATA or ../shared/data")
    flagged = {}
    for name in ("gpt-4-turbo-2024-04-09.th", "gpt-4-turbo-2024-04-09.zh", "gpt-3.5-turbo-0125.fr"):
        answers = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        flagged[name] = [row for row, answer in enumerate(answers) if repeats(answer["output"])]
    # 343 has AGCTAGCT…, 466 big big big, 468 O O O, 655 a tune of the same two notes; 484, 503 and 683 are mistakes
    assert flagged == {
        "gpt-4-turbo-2024-04-09.th": [],
        "gpt-4-turbo-2024-04-09.zh": [343],
        "gpt-3.5-turbo-0125.fr": [466, 468, 484, 503, 655, 683],
    }
