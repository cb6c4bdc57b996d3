"""The leaderboard: its tables say what was measured, and its page trusts no model's text."""

import io
import json
import math
import re
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

from icr.errors import RunError
from icr.evaluation import repeats
from icr.evaluation.answers.described import DescribedAnswer
from icr.report import open_run, samples, write_report
from icr.report.__main__ import main
from icr.report.leaderboard import answers, grids, headline, plots, print_leaderboard, write_leaderboard
from icr.rundir import Layout, Table, manifest
from icr.rundir.benchmarks import described_stage
from icr.rundir.measured import Difference, Measured, Result
from tests.report.fake_leaderboard import LANGUAGES, LOOP, STRENGTH, fake_rows, write_fake_leaderboard
from tests.report.fake_run import ATTACK
from tests.report.test_page import Tags

RATES = {
    "sft": {"mean": 30.0, "en": 45.0, "es": 35.0, "th": 25.0},
    "M0": {"mean": 50.04, "en": 44.0, "es": 60.0, "th": 40.08},
}
WIN_RATES = Result(
    {
        model: {
            "win_rate": by,
            "win_rate_se": {"mean": 1.5, "es": 2.0},
            "unjudged": {"mean": 1.5, "es": 1.0, "th": 2.0},
        }
        for model, by in RATES.items()
    },
    [
        Difference("win_rate", "M0", "sft", "mean", 20.04, 15.5, 24.61, 160),
        Difference("win_rate", "M0", "sft", "es", 25.0, -1.0, 50.0, 80, left_out=3),
        Difference("win_rate", "M0", "sft", "th", 15.08, 0.04, 31.0, 80),
    ],
    ["Judge: tester."],
)
UNHEARD_OF = Result(
    {
        "M0": {
            "sparkle": {"es": 0.25, "th": 0.5},
            "sparkle_se": {"es": 0.125},
            "depth": {"es": 12.0},
            "grade": {"es": 6.125},
        }
    }
)
MEASURED = Measured(["en", "es", "th"], {"sft": "a", "M0": "b"}, {"win_rate": WIN_RATES, "novel": UNHEARD_OF})


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return write_fake_leaderboard(tmp_path_factory.mktemp("boards") / "full")


@pytest.fixture(scope="module")
def page(full):
    return write_leaderboard(full).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(page):
    return json.loads(Tags(page).raw["script"][0])


def test_the_overview_has_each_models_win_rate_and_difference_and_what_is_beside_them():
    grid = grids.overview(MEASURED)
    assert grid.columns == ["model", "Win rate, %", "over SFT", "novel · sparkle"]
    assert grid.rows == [["SFT", "30.0 ±1.5", "–", "–"], ["M0", "50.0 ±1.5", "+20.0 [+15.5, +24.6]", "–"]]
    assert grid.best == {(1, 1)}


def test_figures_that_nobody_has_named_are_shown_by_their_own_names():
    grid = grids.means(UNHEARD_OF, grids.figures_of(UNHEARD_OF), "novel", ["sft", "M0"])
    assert grid.columns == ["", "M0"]
    assert grid.rows == [["sparkle", "–"], ["depth", "12"], ["grade", "6.12"]]
    by = grids.by_language(UNHEARD_OF, "sparkle", ["en", "th"], ["sft", "M0"])
    assert (by.columns, by.rows) == (["model", "mean", "th", "es"], [["M0", "–", "0.500", "0.250 ±0.125"]])


def test_counts_are_added_up_and_rates_are_not():
    assert grids.value(WIN_RATES.figures["sft"], "unjudged") == 3
    assert grids.value(WIN_RATES.figures["sft"], "win_rate") == 30.0
    assert math.isnan(grids.value(WIN_RATES.figures["sft"], "unheard of"))
    grid = grids.by_language(WIN_RATES, "unjudged", MEASURED.languages, ["sft", "M0"])
    assert (grid.columns, grid.rows[0]) == (["model", "all", "es", "th"], ["SFT", "3", "1", "2"])


def test_differences_have_their_intervals_and_say_what_they_are_over():
    grid = grids.differences_grid(WIN_RATES, "win_rate", "sft", MEASURED.languages)
    assert grid.columns == ["model", "mean", "es", "th"]
    assert grid.rows == [["M0", "+20.0 [+15.5, +24.6]", "+25.0 [−1.0, +50.0]", "+15.1 [0.0, +31.0]"]]
    assert "on 80 prompts a language" in grid.note
    assert "alone: 3 prompts" in grid.note


def test_the_headline_names_the_best_model_and_its_gain():
    gain = "+20.0 [+15.5, +24.6] points against SFT"
    assert headline(MEASURED) == f"M0 has the highest win rate: 50.0 ±1.5 %, mean over 2 target languages; {gain}"
    assert headline(replace(MEASURED, results={"novel": UNHEARD_OF})) == "1 model measured by novel"
    unknown = Result({"sft": {"win_rate": {"mean": math.nan, "es": math.nan}}})
    assert headline(replace(MEASURED, results={"win_rate": unknown})) == "1 model measured by win_rate"
    alone = Result({"sft": {"win_rate": {"mean": 41.0, "es": 41.0}}})
    assert headline(replace(MEASURED, results={"win_rate": alone})) == "SFT has a win rate of 41.0 % in es"


def test_a_terminal_of_100_columns_shows_the_results_last():
    languages = ["en", "es", "ru", "de", "fr", "bn", "sw", "th", "zh"]
    by = {"mean": 50.0, **dict.fromkeys(languages, 50.0)}
    own = {"win_rate": by, "win_rate_se": dict.fromkeys(by, 1.5), "lc_win_rate": by}
    gains = [Difference(f, "M1", "dpo_en", "mean", 10.5, -10.2, 12.1, 9) for f in ("win_rate", "lc_win_rate")]
    wide = Measured(languages, {}, {"win_rate": Result({"dpo_en": own, "M1": own}, gains)})
    stream = io.StringIO()
    print_leaderboard(wide, Console(file=stream, width=100, color_system=None))
    text = stream.getvalue()
    assert text.index("Win rate, %") < text.index("Leaderboard")
    assert re.search(r"M1 +50\.0 ±1\.5 +\+10\.5 \[−10\.2, \+12\.1\] +50\.0 +\+10\.5", text)
    assert re.search(r"M1 +50\.0 ±1\.5( +50\.0){9}", text)


def test_the_long_table_has_every_figure_and_difference(full, page):
    table = pd.read_csv(full / "leaderboard.csv", keep_default_na=True)
    measured = open_run(full).measured
    for benchmark, result in measured.results.items():
        for model, own in result.figures.items():
            for figure, by in own.items():
                for language, value in by.items():
                    keys = {"benchmark": benchmark, "model": model, "figure": figure, "language": language}
                    mask = pd.concat([table[k] == v for k, v in keys.items()], axis=1).all(axis=1)
                    (found,) = table[mask & table["baseline"].isna()]["value"]
                    assert found == pytest.approx(value, nan_ok=True)
    differences = table[table["baseline"].notna()]
    expected = [
        (d.model, d.language, d.value, d.low, d.high, d.prompts) for d in measured.results["win_rate"].differences
    ]
    columns = ["model", "language", "value", "low", "high", "prompts"]
    assert [tuple(row) for row in differences[columns].itertuples(index=False)] == expected


def test_model_text_cannot_become_markup_and_nothing_is_loaded(page):
    found = Tags(page)
    names = [tag for tag, _ in found.tags]
    assert names.count("script") == 2
    assert "img" not in names
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert ATTACK not in page
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", found.raw["script"][1])
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_section_is_there(page):
    for section in ("results", "differences", "checks", "other-1", "answers", "settings"):
        assert f'<section id="{section}">' in page
    assert "Length control without the difficulty of prompts." in page
    assert page.count("<svg role") == 3


def test_answers_stand_beside_the_verdicts_on_them(data):
    assert data["models"] == {"sft": "SFT", "dpo_en": "DPO-en", "M0": "M0", "M1": "M1"}
    assert list(data["languages"]) == LANGUAGES
    for model in STRENGTH:
        rows = {(row.language, row.id): row for row in fake_rows(model, 40)}
        for language, shelf in data["languages"].items():
            assert (shelf["total"], len(shelf["prompts"])) == (40, 40)
            for prompt in shelf["prompts"]:
                row, answer = rows[language, prompt["id"]], prompt["answers"][model]
                assert (prompt["prompt"], prompt["reference"]["text"]) == (row.prompt, row.opponent)
                assert (answer["text"], answer["characters"], answer["tokens"]) == (
                    row.text,
                    row.characters,
                    row.tokens,
                )
                for key, q in (("q", row.preference), ("first", row.shown_first), ("second", row.shown_second)):
                    assert answer[key] == (None if q is None else pytest.approx(q, abs=1e-4))
                assert (answer["reason"], answer["off"]) == (row.reason, row.off_language)
                assert answer["cut"] == (row.finish_reason == "length")
                assert answer["repeats"] == (row.text == LOOP * 40)


def test_the_budget_is_shared_fairly_and_kept(full, monkeypatch):
    monkeypatch.setattr(samples, "BYTES", 60_000)
    shelves = answers.collect(open_run(full), list(STRENGTH), LANGUAGES)["languages"]
    counts = [len(shelf["prompts"]) for shelf in shelves.values()]
    assert 2 <= min(counts) <= max(counts) <= min(counts) + 3
    assert len(json.dumps(shelves, ensure_ascii=False).encode()) < 61_000


def test_the_first_of_several_answers_is_shown_and_says_so(tmp_path):
    run = open_run(write_fake_leaderboard(tmp_path / "board", prompts=2, n=3))
    answer = answers.collect(run, ["sft"], ["es"])["languages"]["es"]["prompts"][0]["answers"]["sft"]
    row = next(row for row in fake_rows("sft", 2, 3) if row.language == "es")
    assert (answer["text"], answer["of"]) == (row.text, 3)


def test_without_answers_there_is_a_page_of_the_figures(tmp_path):
    directory = write_fake_leaderboard(tmp_path / "board", judged=False)
    page = write_leaderboard(directory).read_text(encoding="utf-8")
    assert 'id="answers"' not in page
    assert "2 models measured by lm_eval." in page
    assert "xcopa_th" in page
    assert not (directory / "alpaca_eval").exists()


def test_answers_without_verdicts_stand_side_by_side(tmp_path):
    """As text, whatever it holds, with what is seen of it, and without a reference answer."""
    directory = write_fake_leaderboard(tmp_path / "board", judged=False)
    for model in ("sft", "M1"):
        rows = [
            DescribedAnswer("7", "ar", "سؤال؟", k, text, 3, len(text), reason, repeats(text), k == 0)
            for k, (text, reason) in enumerate([(ATTACK, "length"), ("تفاح", "stop")])
        ]
        path = Layout(directory).table(described_stage(model))
        path.parent.mkdir(exist_ok=True)
        Table(DescribedAnswer).write(path, rows)
    found = answers.collect(open_run(directory), ["sft", "M1"], ["ar"])
    assert (found["judged"], found["models"]) == (False, {"sft": "SFT", "M1": "M1"})
    (prompt,) = found["languages"]["ar"]["prompts"]
    assert prompt["reference"] is None
    one = prompt["answers"]["M1"]
    assert (one["text"], one["q"], one["of"]) == (ATTACK, None, 2)
    assert (one["off"], one["cut"], one["repeats"], one["tokens"]) == (True, True, False, 3)
    page = write_leaderboard(directory).read_text(encoding="utf-8")
    assert 'id="answers"' in page
    assert ATTACK not in page
    assert "Each verdict is on an answer" not in page
    assert json.loads(Tags(page).raw["script"][0]) == found
    assert not (directory / "alpaca_eval").exists()


def test_an_interval_stands_where_others_have_their_error():
    own = {"preference_accuracy": {"mean": 61.25, "es": 61.25}, "preference_accuracy_low": {"mean": 55.0, "es": 55.0}}
    own["preference_accuracy_high"] = {"mean": 66.66, "es": 66.66}
    gain = Difference("preference_accuracy", "M0", "dpo_en", "mean", 2.0, 1.0, 3.0, 9)
    base = {"preference_accuracy": {"mean": math.nan, "es": math.nan}}
    result = Result({"sft": base, "dpo_en": {**own, "preference_accuracy": {"mean": 59.25}}, "M0": own}, [gain])
    measured = Measured(["es"], {}, {"preferences": result})
    assert grids.figures_of(result) == ["preference_accuracy"]
    grid = grids.overview(measured)
    assert [row[1] for row in grid.rows] == ["–", "59.2 [55.0, 66.7]", "61.2 [55.0, 66.7]"]
    assert "In brackets behind a figure is its 95 % interval over prompts." in grid.note
    assert headline(measured) == (
        "M0 has the highest preference accuracy: 61.2 [55.0, 66.7] % in es; +2.0 [+1.0, +3.0] points against DPO-en"
    )
    assert plots.by_language(result, "preference_accuracy", ["es"], ["sft", "M0"]).startswith("<svg")


def test_nothing_to_draw_is_an_empty_string():
    nothing = Difference("win_rate", "M0", "sft", "es", 0.0, 0.0, 0.0, 1)
    assert plots.differences(Result({}, [nothing]), "win_rate", "sft", ["es"], "0") == ""
    empty = Result({"sft": {"win_rate": {"mean": math.nan}}})
    assert plots.by_language(empty, "win_rate", ["es"], ["sft"]) == ""
    assert plots.differences(empty, "win_rate", "sft", ["es"], "0") == ""
    lonely = Difference("win_rate", "M0", "sft", "es", 1.0, math.nan, math.nan, 1)
    assert plots.differences(Result({}, [lonely]), "win_rate", "sft", ["es"], "0").startswith("<svg")


def test_the_report_of_an_evaluation_is_its_leaderboard_in_the_same_bytes_each_time(full, page, capsys):
    assert main([str(full)]) == 0
    out = capsys.readouterr().out
    assert "has the highest win rate" in out
    assert out.endswith("leaderboard.html\n")
    assert (full / "leaderboard.html").read_text(encoding="utf-8") == page


def empty_run(directory):
    """A run that has just begun."""
    directory.mkdir()
    manifest.write(Layout(directory).manifest, manifest.read(Layout(directory).manifest))
    return directory


def test_the_page_of_a_run_leads_to_its_leaderboard(full, tmp_path):
    directory = empty_run(tmp_path / "run")
    assert 'id="benchmarks"' not in write_report(directory).read_text(encoding="utf-8")
    shutil.copytree(full, directory / "benchmarks")
    page = write_report(directory).read_text(encoding="utf-8")
    assert '<a href="benchmarks/leaderboard.html">' in page
    assert headline(open_run(full).measured) in page


def test_what_is_damaged_or_was_not_measured_is_said(full, tmp_path):
    shutil.copytree(full, tmp_path / "copy")
    (tmp_path / "copy" / "results.json").write_text("{}")
    with pytest.raises(RunError, match=r"results\.json is damaged"):
        write_leaderboard(tmp_path / "copy")
    with pytest.raises(RunError, match="measured nothing there"):
        write_leaderboard(empty_run(tmp_path / "run"))
