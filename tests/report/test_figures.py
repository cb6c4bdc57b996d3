"""Figures: the same bytes each time, nothing where there is nothing, and labels that keep their digits."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from icr.report import curves, open_run, plots, write_picture
from icr.report.__main__ import main
from icr.report.curves import end_to_end
from icr.report.svg import colour, label_ends, marker, new_figure
from icr.rundir import ModelResult, Summary
from tests.report.fake_run import LANGUAGES, write_fake_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return open_run(write_fake_run(tmp_path_factory.mktemp("runs") / "run", prompts=12))


def _draw(run):
    pairs = {t: run.table(t, "pairs") for t in run.rounds}
    return {
        "win_rate": plots.win_rate(run.summary),
        "accuracy": plots.reward_accuracy(run.summary),
        "rewards": plots.reward_distributions(pairs, LANGUAGES),
        "length": curves.length_control(run.length_control[0], 0),
        "training": curves.training(run.metrics, LANGUAGES),
    }


def test_figures_are_deterministic_and_inline(run):
    first, second = _draw(run), _draw(run)
    assert first == second
    for name, svg in first.items():
        assert svg.startswith("<svg"), name
        assert svg.endswith("</svg>\n"), name
        assert not re.search(r"https?:|<\?xml|<!DOCTYPE|<metadata", svg), name


def test_labels_keep_their_digits(run):
    svg = curves.length_control(run.length_control[0], 0)
    alphas = [f"α = {c['alpha']:.3g}" for c in run.length_control[0].values()]
    assert all(f">{alpha}<" in svg for alpha in alphas)


def test_nothing_to_draw_is_an_empty_string():
    empty = Summary(languages=["en"])
    assert plots.win_rate(empty) == plots.reward_accuracy(empty) == plots.reward_distributions({}, []) == ""
    assert curves.length_control({}, 0) == curves.training(pd.DataFrame(), []) == ""
    assert curves.length_control({"en": {"starts": [], "alpha": 0.0}}, 0) == ""


def test_awkward_data_can_be_drawn():
    one = ModelResult("M0", "round", 0, {"win_rate": {"mean": 50.0, "en": 50.0}})
    assert plots.win_rate(Summary(models=[one], languages=["en"]))
    unknown = replace(one, figures={"win_rate": {"mean": math.nan, "en": math.nan}})
    assert plots.win_rate(Summary(models=[unknown], languages=["en"]))
    flat = pd.DataFrame({"language": ["en"] * 3, "chosen_reward": [1.0] * 3, "rejected_reward": [np.nan, 1.0, 1.0]})
    assert plots.reward_distributions({0: flat}, ["en"])
    assert curves.length_control(
        {"en": {"starts": [0.0], "chosen_length": [3], "rejected_length": [2], "alpha": 0.0}}, 0
    )
    accuracy = {"crosslingual": {"mean": math.nan, "es": 0.3}}
    assert plots.reward_accuracy(Summary(reward_accuracy=accuracy, languages=["en", "es"]))


def model(name, round=None, mean=0.0, control=None):
    kind = "control" if control else "start" if round is None else "round"
    return ModelResult(name, kind, round, {"win_rate": {"mean": mean}}, control)


def test_a_control_stands_beside_its_round_and_starts_where_the_method_starts():
    road = [model("sft", mean=30.0), model("dpo_en", mean=48.0), model("M0", 0, 54.0), model("M1", 1, 60.0)]
    control = [model("M1", 1, 47.0, "random_labels"), model("M0", 0, 46.0, "random_labels")]
    assert plots._places(control, road) == [(1, 48.0), (2, 46.0), (3, 47.0)]
    assert plots._places([model("sft", None, 40.0, "more_sft")], road) == [(2, 54.0), (3, 40.0)]
    assert plots._places([model("M2", 2, 50.0, "random_labels")], road) == []
    assert plots._places(control[1:], road[2:]) == [(0, 46.0)]


def test_controls_are_drawn_with_their_names(run):
    svg = plots.win_rate(run.summary)
    assert ">nll on a random sample<" in svg
    assert ">random labels<" in svg


def test_steps_of_rounds_are_laidend_to_end_whether_or_not_they_start_again():
    again = pd.DataFrame({"round": [0, 0, 1, 1], "step": [1, 2, 1, 2]})
    onwards = pd.DataFrame({"round": [0, 0, 1, 1], "step": [1, 2, 3, 4]})
    for metrics in (again, onwards):
        x, edges = end_to_end(metrics)
        assert x.tolist() == [1, 2, 3, 4]
        assert edges == [1, 2]


def test_end_labels_do_not_overlap():
    axes = new_figure(4, 4).subplots()
    axes.set_ylim(0, 100)
    label_ends(axes, 1, [(50.0, "a", "k"), (50.1, "b", "k"), (49.9, "c", "k")], gap=0.05)
    places = sorted(text.xy[1] for text in axes.texts)
    assert np.diff(places).min() >= 4.99


def test_no_two_languages_look_alike():
    many = ["en", *(f"l{i}" for i in range(15))]
    assert len({(colour(l, many), marker(l, many)) for l in many}) == len(many)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_picture_is_the_same_bytes_each_time(run, tmp_path, suffix):
    paths = [write_picture(run.directory, tmp_path / f"{i}{suffix}") for i in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size > 5000


def test_command_line(run, tmp_path, capsys):
    assert main([str(run.directory)]) == 0
    out = capsys.readouterr().out
    assert "Win rate, %" in out
    assert "mean win rate over 7 target languages" in out
    assert (run.directory / "report.html").is_file()
    assert main([str(run.directory), "--picture", str(tmp_path / "deep" / "out.svg")]) == 0
    assert (tmp_path / "deep" / "out.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_command_line_says_what_is_wrong(run, tmp_path, capsys):
    for arguments, message in (
        ([str(tmp_path / "nowhere")], "is not a folder"),
        ([str(tmp_path)], "holds no run"),
        ([str(run.directory), "--picture", "out.bmp"], ".svg, .png, .pdf"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("icr: ")
        assert message in error
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
