"""Tables: what adds up must be seen to add up, and a terminal of 100 columns must show it."""

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from icr.report.tables import counts_grid, counts_table, metric_grid, print_tables, results_table, rewards_grid
from icr.rundir import ModelResult, RoundCounts, Summary


def model(name, win_rate, errors=None, control=None):
    figures = {"win_rate": win_rate} | ({"win_rate_se": errors} if errors else {})
    return ModelResult(name, "control" if control else "round", 0, figures, control)


SUMMARY = Summary(
    languages=["en", "es", "th"],
    models=[
        ModelResult("sft", "start", None, {"win_rate": {"mean": 30.0, "en": 45.0, "es": 35.0, "th": 25.0}}),
        model("M0", {"mean": 50.04, "en": 45.0, "es": 60.0, "th": math.nan}, {"mean": 1.5}),
        model("M0", {"mean": 50.0, "en": 44.0, "es": 36.0}, control="random_labels"),
    ],
    rounds=[
        RoundCounts(
            round=t,
            prompts={"en": 80, "es": 80, "th": 70},
            responses={"en": 800, "es": 800, "th": 700},
            pairs={"en": 78, "es": 80, "th": 60},
            skipped={"en": {"all rewards equal": 2}, "th": {"all rewards equal": 4, "too few usable": 6}},
            chosen_reward={"en": 1.5, "es": 1.0, "th": 0.5},
            rejected_reward={"en": -0.5, "es": math.nan},
        )
        for t in range(2)
    ],
    skipped_prompts={"en": {"longer than the context": 1}},
)


def _text(*tables, width=100):
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None)
    for table in tables:
        console.print(table)
    return stream.getvalue()


def _numbers(row):
    return [int(cell.replace(",", "")) for cell in row[1:]]


def test_every_row_of_the_counts_adds_up_to_its_prompts():
    grid = counts_grid(SUMMARY)
    assert grid.columns == [
        "round · language", "responses", "prompts", "= pairs", "+ all rewards equal", "+ too few usable"
    ]  # fmt: skip
    for row in grid.rows:
        _, prompts, *parts = _numbers(row)
        assert prompts == sum(parts), row


def test_totals_are_the_sums_of_the_rows_above_them():
    grid = counts_grid(SUMMARY)
    assert [grid.rows[i][0] for i in sorted(grid.totals)] == ["round 0 · total", "round 1 · total", "all rounds"]
    rows = [_numbers(row) for row in grid.rows]
    assert rows[3] == [sum(column) for column in zip(*rows[:3], strict=True)] == [2300, 230, 218, 6, 6]
    assert rows[8] == [2 * count for count in rows[3]]
    assert "Left out before sampling: 1 (en 1 longer than the context)" in grid.note


def test_prompts_that_nothing_accounts_for_get_a_column():
    entry = RoundCounts(0, prompts={"en": 5, "es": 4}, responses={"en": 50, "es": 40}, pairs={"en": 3})
    grid = counts_grid(Summary(rounds=[entry]))
    assert grid.columns[-1] == "+ not yet paired"
    assert [row[-1] for row in grid.rows] == ["2", "4", "6"]


def test_best_is_marked_a_column_by_what_is_printed():
    grid = metric_grid(SUMMARY, "win_rate")
    assert grid.columns == ["model", "mean", "en", "es", "th"]
    assert grid.rows[1] == ["M0", "50.0 ±1.5", "45.0", "60.0", "–"]
    assert grid.best == {(1, 1), (2, 1), (0, 2), (1, 2), (1, 3), (0, 4)}  # equal as printed: both


def test_comparisons_without_a_verdict_are_counted_below_the_win_rates():
    judged = model("M0", {"mean": 50.0, "en": 50.0, "es": 50.0})
    judged.figures["unjudged"] = {"mean": 2.0, "en": 1.0, "es": 2.0}
    whole = model("M1", {"mean": 50.0, "en": 50.0, "es": 50.0})
    whole.figures["unjudged"] = {"mean": 0.0, "en": 0.0, "es": 0.0}
    noted = metric_grid(replace(SUMMARY, models=[judged, whole]), "win_rate").note
    assert noted.endswith(" Comparisons without a verdict, left out: M0 3.")
    assert "verdict" not in metric_grid(replace(SUMMARY, models=[whole]), "win_rate").note


def test_a_best_of_zero_is_a_number():
    grid = metric_grid(Summary(languages=["en"], models=[model("M0", {"mean": 0.0, "en": 0.0})]), "win_rate")
    assert grid.rows == [["M0", "0.0", "0.0"]]
    assert grid.best == {(0, 1), (0, 2)}


def test_rewards_show_what_is_known_and_drop_empty_columns():
    grid = rewards_grid(SUMMARY)
    assert grid.columns == ["round · language", "reward chosen", "reward rejected", "margin"]
    assert grid.rows[0] == ["round 0 · en", "1.50", "-0.50", "2.00"]
    assert grid.rows[1] == ["round 0 · es", "1.00", "–", "–"]


def test_terminal_tables_fit_a_hundred_columns_unfolded():
    languages = ["en", "es", "ru", "de", "fr", "bn", "sw", "th"]
    rates = dict.fromkeys(["mean", *languages], 52.3)
    models = [model("M0", rates, {"mean": 1.5}, control) for control in (None, "nll_on_a_random_sample")]
    text = _text(results_table(Summary(languages=languages, models=models)), counts_table(SUMMARY))
    assert max(map(len, text.splitlines())) <= 100
    assert "control: nll on a random sample M0  52.3 ±1.5" in text
    assert "round 0 · total" in text


def test_nothing_to_show_is_no_table():
    empty = Summary()
    assert results_table(empty) is None
    assert counts_table(empty) is None
    assert rewards_grid(empty) is None


@pytest.mark.parametrize("width", [60, 100])
def test_print_tables_ends_with_the_win_rates(width):
    stream = io.StringIO()
    print_tables(SUMMARY, Console(file=stream, width=width, color_system=None))
    text = stream.getvalue()
    assert text.index("what became of them") < text.index("Win rate, %")
    assert "· total" in text
    assert "· en" not in text  # A page has room for it, a terminal has not.


def test_without_a_judge_rewards_and_counts_by_language_are_printed():
    stream = io.StringIO()
    print_tables(replace(SUMMARY, models=[]), Console(file=stream, width=100, color_system=None))
    text = stream.getvalue()
    assert text.index("round 0 · en") < text.index("Rewards and lengths of the pairs")


def test_several_pairs_of_a_prompt_leave_nothing_over():
    entry = RoundCounts(0, prompts={"en": 10}, responses={"en": 40}, pairs={"en": 20})
    grid = counts_grid(Summary(rounds=[entry]))
    assert grid.columns[-1] == "= pairs"
    assert grid.note.startswith("A prompt gives several pairs")


def test_model_names_are_not_markup():
    models = [model("[red]M0[/nope]", {"mean": 1.0})]
    assert "[red]M0[/nope]" in _text(results_table(Summary(models=models)))
