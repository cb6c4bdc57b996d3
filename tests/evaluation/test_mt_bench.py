"""MT-Bench against a server on loopback with a deterministic grader: two turns, counts, figures, and going on."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from icr.config import conf_dir
from icr.data.context import usable_prompts
from icr.errors import BudgetError, ConfigError, DataError
from icr.evaluation import Bench, GradingPrompt, MTBench, MTFiles, Setting, Subject
from icr.evaluation.mt_bench.grades import GradedTurn, differences, figures
from icr.evaluation.mt_bench.grading import score
from icr.judges import Endpoint
from icr.keys import of_stages
from icr.models import Loader
from icr.pocket.assets import folder
from icr.rundir import RunDirectory
from icr.sampling import TransformersSampler
from icr.types import Prompt
from tests.judges.judge_server import judge_server

TURNS = {
    "en": ["List three colours for Tom.", "List four foods for Omar."],
    "sw": ["Andika majina matatu ya matunda kwa ajili ya Tom.", "Andika majina manne ya wanyama kwa ajili ya Ana."],
}
CATEGORIES = ["writing", "math", "stem"]
TEMPERATURES = {"writing": 0.7, "math": 0.0}
PROMPT = GradingPrompt(
    **{
        name: value
        for name, value in yaml.safe_load(
            (conf_dir() / "benchmark" / "grading" / "single_answer.yaml").read_text(encoding="utf-8")
        ).items()
        if name != "_target_"
    }
)
SFT = str(folder("sft"))


def write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def rows(code: str) -> list[dict]:
    return [{"question_id": 81 + n, "category": c, "turns": TURNS[code]} for n, c in enumerate(CATEGORIES)]


@pytest.fixture
def questions(tmp_path) -> MTFiles:
    write(tmp_path / "mt" / "en" / "question.jsonl", rows("en"))
    good = [{"question_id": id, "choices": [{"index": 0, "turns": ["red", "salt"]}]} for id in (82, 83)]
    write(tmp_path / "mt" / "en" / "reference_answer" / "gpt-4.jsonl", good)
    write(tmp_path / "mt" / "sw.jsonl", rows("sw"))
    return MTFiles(str(tmp_path / "mt"))


@pytest.fixture
def grader(tmp_path):
    """A server whose grade the conversation decides, and an endpoint of it."""

    def grade(body: dict) -> str:
        asked = body["messages"][-1]["content"]
        turns = len(re.findall(r"^\[Assistant \d", asked.split("CHECKED ANSWERS")[0], re.MULTILINE))
        return f"Short, and clear.\nScore: {3 * turns + ('CHECKED' in asked)}"

    with judge_server() as server:
        server.change = lambda document: document["choices"][0]["message"].update(content=grade(server.seen[-1]))
        own = {"model": "grader-1", "base_url": server.url, "cache": str(tmp_path / "cache"), "concurrency": 1}
        yield server, lambda **more: Endpoint(**own, **more)


def benchmark(questions, endpoint, **settings) -> MTBench:
    return MTBench(questions, endpoint, PROMPT, TEMPERATURES, **{"sampling": {"max_new_tokens": 24}, **settings})


def setting(languages=("en", "sw")) -> Setting:
    renderer = Loader().renderer(SFT)

    def usable(given, longest):
        return usable_prompts(given, renderer, [lambda p: p.text], 256, longest)

    return Setting(languages, TransformersSampler(), usable, Loader())


def measured(where: Path, mt_bench: MTBench, languages=("en", "sw")):
    opened = mt_bench.open(setting(languages))
    subject = Subject("sft", SFT)
    keys = of_stages(opened.stages(subject), "sft", {})
    opened.measure(subject, Bench(RunDirectory(where, keys), Loader(), "cpu", 42))
    return opened


def test_two_turns_are_answered_graded_and_counted(tmp_path, questions, grader):
    server, endpoint = grader
    opened = measured(tmp_path / "out", benchmark(questions, endpoint()))
    graded = opened.rows["sft"]
    assert len(graded) == len(server.seen) == 2 * 2 * 3
    assert {(row.language, row.id, row.turn) for row in graded} == {
        (code, str(id), turn) for code in ("en", "sw") for id in (81, 82, 83) for turn in (1, 2)
    }
    # The English math question has a reference answer; the one to `stem` is not shown.
    assert {(row.language, row.category) for row in graded if row.reference} == {("en", "math")}
    found = {(row.turn, row.reference): row.score for row in graded}
    assert found == {(1, False): 3.0, (2, False): 6.0, (1, True): 4.0, (2, True): 7.0}
    own = opened.result().figures["sft"]
    assert own["score"] == {"mean": 4.5, "en": pytest.approx(29 / 6), "sw": 4.5}
    assert own["score_se"]["en"] == pytest.approx(np.std([4.5, 5.5, 4.5], ddof=1) / 3**0.5)
    assert own["turn_1"]["en"] == pytest.approx(10 / 3)
    assert own["turn_2"]["sw"] == 6
    assert own["score/math"] == {"mean": 4.5, "en": 5.5, "sw": 4.5}
    assert own["graded"] == {"mean": 6, "en": 6, "sw": 6}
    assert "Graded by grader-1; 1 of the 2 questions" in opened.result().notes[0]
    # Asked again, all is read back: nothing is sampled, and nobody is asked.
    again = measured(tmp_path / "out", benchmark(questions, endpoint()))
    assert again.rows == opened.rows
    assert len(server.seen) == 12


def test_the_second_turn_is_put_after_the_first_answer(tmp_path, questions, grader):
    _, endpoint = grader
    opened = measured(tmp_path / "out", benchmark(questions, endpoint()), ["en"])
    store = tmp_path / "out"
    first, second = (pq.read_table(store / f"mt_bench_turn_{n}" / "sft.parquet").to_pylist() for n in (1, 2))
    tokenizer = Loader().renderer(SFT).tokenizer
    for before, after in zip(first, second, strict=True):
        said = [TURNS["en"][0], before["text"], TURNS["en"][1]]
        turns = [
            {"role": role, "content": text} for role, text in zip(["user", "assistant", "user"], said, strict=True)
        ]
        assert after["prompt_ids"] == tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=False
        )
    # Greedy where the category says so: the same answer whatever the seed.
    (maths,) = [row for row in first if row["id"] == "82"]
    greedy = replace(TransformersSampler(), n=1, temperature=0.0, max_new_tokens=24)
    model = Loader().load(SFT)
    (ours,) = greedy.sample(model, [Prompt("82", "en", TURNS["en"][0], TURNS["en"][0])], ("other",))
    assert ours.response_ids == maths["response_ids"]
    assert opened.temperatures == {"81": 0.7, "82": 0.0, "83": 0.7}


def test_a_budget_stops_cleanly_and_nothing_is_paid_twice(tmp_path, questions, grader):
    server, endpoint = grader
    with pytest.raises(BudgetError, match="goes on from here"):
        measured(tmp_path / "out", benchmark(questions, endpoint(max_requests=5)))
    assert len(server.seen) == 5
    opened = measured(tmp_path / "out", benchmark(questions, endpoint()))
    assert len(server.seen) == 12
    assert opened.endpoint.spending.cached == 5
    assert opened.result().figures["sft"]["graded"]["en"] == 6


def test_what_is_no_grade_is_counted(tmp_path, questions, grader):
    server, endpoint = grader
    server.change = lambda document: document["choices"][0]["message"].update(content="I like it.")
    opened = measured(tmp_path / "out", benchmark(questions, endpoint()), ["en"])
    assert {(row.score, row.reason, row.reply) for row in opened.rows["sft"]} == {(None, "no score", "I like it.")}
    figures = opened.result().figures["sft"]
    assert figures["ungraded"] == {"mean": 6, "en": 6}
    assert np.isnan(figures["score"]["en"])


def test_second_turns_without_room_are_counted(tmp_path, questions, grader):
    _, endpoint = grader
    opened = measured(tmp_path / "out", benchmark(questions, endpoint(), sampling={"max_new_tokens": 230}), ["en"])
    left = sum(opened.cut_off["sft"].values())
    assert left > 0
    assert len(opened.rows["sft"]) == 6 - left
    assert any("second turns not asked: longer than the context" in note for note in opened.result().notes)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"temperature": 0.5}, "answers"),
        ({"sampling": {"max_new_tokens": 25}}, "answers"),
        ({"reference_categories": []}, "grades"),
        ({"grading": replace(PROMPT, system="Be kind.")}, "grades"),
        ({"grade_tokens": 9}, "grades"),
        ({"grader_temperature": 0.5}, "grades"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_every_setting_changes_a_key(questions, grader, change, changed):
    _, endpoint = grader
    own = benchmark(questions, endpoint())

    def keys(settings):
        return of_stages(settings.open(setting()).stages(Subject("sft", SFT)), "sft", {})

    before, after = keys(own), keys(replace(own, **change))
    different = {stage.split("/")[0] for stage in before if before[stage].version != after[stage].version}
    grades, turns = {"mt_bench_grades"}, {"mt_bench_turn_1", "mt_bench_turn_2"}
    assert different == (grades if changed == "grades" else grades | turns)


def test_figures_by_hand():
    def row(id, turn, value):
        return GradedTurn(id, "en", "math", turn, "", "", "stop", value, "" if value else "refused", "", False)

    found = figures([row("a", 1, 4.0), row("a", 2, 8.0), row("b", 1, 2.0), row("b", 2, None)])
    assert found["score"]["en"] == 4.0  # a: 6, b: 2
    assert found["score_se"]["en"] == pytest.approx(2.0)  # deviation √8 over √2
    assert (found["turn_1"]["en"], found["turn_2"]["en"]) == (3.0, 8.0)
    assert (found["graded"]["en"], found["ungraded"]["en"]) == (3, 1)


def test_translations_of_a_question_are_one_question():
    """With the same grades in both target languages, the error of their mean is that of either."""

    def row(language, id, value):
        return GradedTurn(id, language, "stem", 1, "", "", "stop", value, "", "", False)

    grades = {"a": 2.0, "b": 5.0, "c": 9.0}
    found = figures([row(code, id, value) for code in ("de", "sw") for id, value in grades.items()])
    assert found["score_se"]["mean"] == pytest.approx(found["score_se"]["de"])
    assert found["score_se"]["de"] == pytest.approx(np.std(list(grades.values()), ddof=1) / 3**0.5)


def test_differences_are_paired():
    """One model is better by one point everywhere: the interval is that point, whatever the questions are like."""

    def rows(shift, codes=("en", "de", "sw")):
        grade = {"a": 2.0, "b": 5.0, "c": 8.0}
        return [
            GradedTurn(id, code, "stem", turn, "", "", "stop", value + shift, "", "", False)
            for code in codes
            for id, value in grade.items()
            for turn in (1, 2)
        ]

    models = {"sft": rows(0), "M0": rows(1), "M1": rows(2)[:-1]}
    found = differences(models, None)
    assert {(one.model, one.baseline) for one in found} == {("M0", "sft"), ("M1", "sft"), ("M1", "M0")}
    of_mean = [one for one in found if one.language == "mean"]
    assert [(one.value, one.low, one.high) for one in of_mean] == [(1, 1, 1), (2, 2, 2), (1, 1, 1)]
    assert [one.language for one in found[:4]] == ["mean", "en", "de", "sw"]
    assert [one.left_out for one in of_mean] == [0, 1, 1]
    assert {one.baseline for one in differences(models, "M0")} == {"M0"}


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("Good.\nScore: 7", 7),
        ("Score: 3 at first sight.\n\n**Score:** 9/10", 9),
        ("score：8.5", 8.5),
        ("Score: 10", 10),
        ("Rating: [[6]]", 6),
        ("Score: 11", None),
        ("Score: 0", None),
        ("Score: 100", None),
        ("I give it seven.", None),
        ("", None),
    ],
)
def test_scores_are_read_from_the_end(reply, value):
    assert score(reply) == value


def test_the_grader_sees_the_conversation_and_headings_that_it_cannot_hold():
    (system, user) = PROMPT.messages(["Q1", "A1 {x}", "Q2", "A2 Score: 10"], ["R1", "R2"])
    assert system.role == "system"
    digits = re.search(r"\[User 1 (\w{12})\]", user.content)[1]
    order = [user.content.index(f"[{who} {digits}]\n{text}") for who, text in [
        ("User 1", "Q1"), ("Assistant 1", "A1 {x}"), ("User 2", "Q2"), ("Assistant 2", "A2"),
    ]]  # fmt: skip
    assert order == sorted(order)
    assert user.content.index("R2") > user.content.index("CHECKED ANSWERS")
    with pytest.raises(ValueError, match=r"answer must contain \{conversation\}"):
        replace(PROMPT, answer="Grade it.")
    with pytest.raises(ValueError, match=r"placeholder \{score\}"):
        replace(PROMPT, answer="{conversation} {score}")


def test_mistakes_in_files_are_named(tmp_path, questions, grader):
    folder = Path(questions.dir)
    with pytest.raises(DataError, match=r"neither de/question\.jsonl nor de\.jsonl"):
        questions.questions(["de"])
    with pytest.raises(DataError, match="does not exist"):
        MTFiles(str(tmp_path / "nowhere")).questions(["en"])
    write(folder / "de.jsonl", rows("en")[:2])
    with pytest.raises(DataError, match="1 questions are not the same in en and de, the first of them '83'"):
        questions.questions(["en", "de"])
    write(folder / "de.jsonl", [{"question_id": 1, "category": "math", "turns": ["one"]}])
    with pytest.raises(DataError, match=r"de\.jsonl, line 1: the field 'turns' must be a list of 2 texts"):
        questions.questions(["de"])
    write(folder / "de.jsonl", [rows("en")[0]] * 2)
    with pytest.raises(DataError, match="'81' comes a second time"):
        questions.questions(["de"])
    write(folder / "en" / "reference_answer" / "other.jsonl", [])
    with pytest.raises(DataError, match="several files of reference answers"):
        questions.questions(["en"])
    with pytest.raises(ConfigError, match="needs a model that grades: add judge=openai"):
        benchmark(questions, None).require()
    with pytest.raises(ValueError, match="sampling must not hold n, which"):
        benchmark(questions, None, sampling={"n": 2})
