"""alpaca_eval itself reads what the leaderboard leaves for it, and counts what we count."""

import json
import shutil

import pytest

from icr.report.leaderboard.alpaca import write_alpaca_eval
from icr.rundir import open_run
from tests.report.fake_leaderboard import LANGUAGES, STRENGTH, fake_rows, standard_figures, write_fake_leaderboard

ANNOTATOR = """tester:
  prompt_template: tester/prompt.txt
  fn_completions: test_completions
  fn_completion_parser: regex_parser
  completion_parser_kwargs: {outputs_to_match: {1: never, 2: ever}}
"""
"""A judge of alpaca_eval that gives no verdict: those that count are ours."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    directory = write_fake_leaderboard(tmp_path_factory.mktemp("boards") / "board", prompts=25)
    write_alpaca_eval(open_run(directory), list(STRENGTH))
    return directory / "alpaca_eval"


def test_alpaca_eval_counts_the_same_win_rate_and_standard_error(alpaca_eval, written):
    for language in LANGUAGES:
        for model in STRENGTH:
            annotations = alpaca_eval.utils.load_or_convert_to_dataframe(
                written / language / model / "annotations.json"
            )
            assert set(annotations["generator_2"]) == {model}
            found = alpaca_eval.metrics.get_winrate(annotations)
            rate, error = standard_figures(fake_rows(model, 25), language)
            assert (found["win_rate"], found["standard_error"]) == pytest.approx((rate, error), abs=1e-9)
            assert found["n_total"] == sum(
                r.preference is not None for r in fake_rows(model, 25) if r.language == language
            )


def test_its_make_leaderboard_takes_our_answers_and_verdicts(alpaca_eval, written, tmp_path):
    folder = written / "bn"
    (tmp_path / "tester").mkdir()
    (tmp_path / "tester" / "prompt.txt").write_text("{instruction}{output_1}{output_2}")
    config = tmp_path / "tester" / "configs.yaml"
    config.write_text(ANNOTATOR)

    def evaluate(name, **settings):
        verdicts = shutil.copy(folder / name / "annotations.json", tmp_path / f"{name}.json")
        return alpaca_eval.main.evaluate(name=name, caching_path=verdicts, **settings)

    board, _ = alpaca_eval.main.make_leaderboard(
        leaderboard_path=tmp_path / "leaderboard.csv",
        annotators_config=config,
        all_model_outputs=[str(folder / model / "model_outputs.json") for model in STRENGTH],
        reference_outputs=str(folder / "reference" / "model_outputs.json"),
        fn_add_to_leaderboard=evaluate,
        is_return_instead_of_print=True,
        fn_metric="get_winrate",
        sort_by="win_rate",
        output_path=None,
    )
    assert set(board.index) == set(STRENGTH)
    for model in STRENGTH:
        found = board.loc[model]
        expected = standard_figures(fake_rows(model, 25), "bn")
        assert (found["win_rate"], found["standard_error"]) == pytest.approx(expected, abs=1e-9)
        own = [row for row in fake_rows(model, 25) if row.language == "bn"]
        assert found["avg_length"] == sum(len(row.text) for row in own) // len(own)


def test_files_hold_every_answer_in_order(written):
    own = [row for row in fake_rows("sft", 25) if row.language == "th"]
    outputs = json.loads((written / "th" / "sft" / "model_outputs.json").read_text(encoding="utf-8"))
    assert [(row["instruction"], row["output"]) for row in outputs] == [(row.prompt, row.text) for row in own]
    assert {(row["generator"], row["dataset"]) for row in outputs} == {("sft", "th")}
    verdicts = json.loads((written / "th" / "sft" / "annotations.json").read_text(encoding="utf-8"))
    assert [row["preference"] for row in verdicts] == [
        r.preference if r.preference is None else 1 + r.preference for r in own
    ]
    assert {row["annotator"] for row in verdicts} == {"tester"}
    references = json.loads((written / "th" / "reference" / "model_outputs.json").read_text(encoding="utf-8"))
    assert [row["output"] for row in references] == [row.opponent for row in own]


def test_files_of_models_that_are_gone_go_too(written):
    stale = written / "es" / "old" / "annotations.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("[]")
    write_alpaca_eval(open_run(written.parent), list(STRENGTH))
    assert not stale.exists()
    assert (written / "es" / "sft" / "annotations.json").exists()
