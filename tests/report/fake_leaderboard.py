"""Writes a directory as `icr evaluate` leaves one, with text that tries to break the page."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from icr.evaluation import JudgedResponse, compared
from icr.evaluation.win_rate import win_rate, win_rate_standard_error
from icr.rundir import Layout, Table, atomic, manifest
from icr.rundir.content import of_output
from icr.rundir.measured import Measured, Result
from tests.report.fake_run import ATTACK, PROMPTS, WORDS

LANGUAGES = ["en", "es", "bn", "th", "ar"]
TEXTS = {**WORDS, "ar": "تفاح موز كرز عنب مانجو كمثرى"}
QUESTIONS = {**PROMPTS, "ar": "اكتب {n} فواكه من أجل {who} مع عنوان."}
STRENGTH = {"sft": -0.8, "dpo_en": 0.0, "M0": 0.3, "M1": 0.6}
LOOP = "the same again, and "


def write_fake_leaderboard(directory: Path, *, prompts: int = 40, n: int = 1, judged: bool = True) -> Path:
    """Four models in five languages; `n` answers per prompt; without `judged`, tasks of lm_eval alone."""
    rows = {model: fake_rows(model, prompts, n) for model in STRENGTH} if judged else {}
    results = {"win_rate": judged_result(rows)} if judged else {}
    return write_directory(directory, rows, LANGUAGES, results | {"lm_eval": _tasks()})


def write_directory(
    directory: Path, rows: dict[str, list[JudgedResponse]], languages: list[str], results: dict[str, Result]
) -> Path:
    """These rows and results, with the manifest that vouches for them."""
    layout = Layout(directory)
    layout.evaluation("any").parent.mkdir(parents=True)
    layout.config.write_text(f"seed: 0\nname: '{ATTACK}'\njudge:\n  endpoint:\n    model: tester\n")
    models = {model: f"runs/demo/{model}/model" for result in results.values() for model in result.figures}
    atomic.write_json(layout.measured, Measured(languages, models, results, {"python": "3.11.9"}).as_json())
    for model, own in rows.items():
        Table(JudgedResponse).write(layout.evaluation(model), own)
    found = manifest.read(layout.manifest)
    found["documents"] = of_output(directory, layout.config) | of_output(directory, layout.measured)
    manifest.write(layout.manifest, found)
    return directory


def fake_rows(model: str, prompts: int, n: int = 1) -> list[JudgedResponse]:
    """Answers with verdicts of both orders: some missing, some that flip, some cut, empty, looping or hostile."""
    rng = np.random.default_rng(sorted(STRENGTH).index(model))
    return [_row(rng, model, language, prompt) for language in LANGUAGES for prompt in range(prompts) for _ in range(n)]


def _row(rng: np.random.Generator, model: str, language: str, prompt: int) -> JudgedResponse:
    words = TEXTS[language].split()
    text = ", ".join(rng.permutation(words)[: rng.integers(2, 6)]) + "."
    text = {3: "", 5: ATTACK, 7: LOOP * 40}.get(prompt % 17, text)
    lead = STRENGTH[model] + (0.4 if language == "en" else 0)
    first, second = (1 / (1 + math.exp(-rng.normal(lead + bias, 1.2))) for bias in (0.3, -0.3))
    missing = prompt % 19 == 11 and model != "M1"
    return JudgedResponse(
        id=f"t{prompt:03d}",
        language=language,
        prompt=QUESTIONS[language].format(n=3 + prompt, who=["Max", "Ada", ATTACK][prompt % 3]),
        text=text,
        tokens=len(text) // 4 + 1,
        characters=len(text),
        score=None,
        opponent=", ".join(words[: 2 + prompt % 4]) + ".",
        opponent_score=None,
        finish_reason="length" if prompt % 17 == 7 else "stop",
        preference=None if missing else (first + second) / 2,
        reason=f"refused {ATTACK}" if missing else "",
        shown_first=None if missing else first,
        shown_second=None if missing else second,
        off_language=bool(prompt % 17 == 5 and language != "en"),
    )


def judged_result(rows: dict[str, list[JudgedResponse]]) -> Result:
    """Figures and differences by the project's own functions, with notes that try to break the page."""
    result = compared(rows, baseline=next(iter(rows)))
    return replace(result, notes=[f"Judge: tester {ATTACK}, both orders.", *result.notes])


def _tasks() -> Result:
    own = {"xcopa_th": {"th": 0.61}, "belebele": {"mean": 0.4, "es": 0.45, "th": 0.35}, "belebele_se": {"mean": 0.01}}
    return Result(dict.fromkeys(("sft", "M1"), own), notes=["Tasks of lm_eval, zero-shot."])


def standard_figures(rows: list[JudgedResponse], language: str) -> tuple[float, float]:
    """Win rate and standard error of one language."""
    own = [row for row in rows if row.language == language]
    q, ids = [math.nan if row.preference is None else row.preference for row in own], [row.id for row in own]
    return win_rate(q, ids), win_rate_standard_error(q, ids)
