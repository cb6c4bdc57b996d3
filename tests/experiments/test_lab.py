"""The experiments' statistics against equations worked by hand, and every claim's file against the configuration."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from experiments.lab import arms, claim, page, plot, worlds
from experiments.lab.claim import Contrast, Point
from experiments.lab.statistics import Interval, interval, paired, verdict
from icr.config import conf_dir
from icr.rundir import Layout, manifest
from icr.rundir.measured import Measured, Result
from tests.report.sweep.fake_sweep import write_run

HOME = Path(__file__).parents[2] / "experiments"
CLAIMS = [claim.read(path.parent) for path in sorted(HOME.glob("*/claim.yaml"))]

ARMS = list(dict.fromkeys(arm for one in CLAIMS for arm in one.arms.values()))


def table(**values: list[float]) -> pd.DataFrame:
    """Win rates of models `<arm>/<model>` by seed."""
    rows = [
        (name.split("_")[0], seed, name.split("_")[1], "mean", "win_rate", value)
        for name, column in values.items()
        for seed, value in enumerate(column)
    ]
    return pd.DataFrame(rows, columns=["arm", *arms.COLUMNS])


def one_claim(**changed: object) -> claim.Claim:
    settings = {
        "name": "x",
        "title": "A claim",
        "paper": "3 points",
        "axis": "α",
        "arms": {"a": claim.Arm("clean", ("loss.alpha=0",)), "b": claim.Arm("clean", ())},
        "contrasts": [Contrast("a beats b", Point("a", "M0"), Point("b", "M0"))],
    }
    return claim.Claim(**{**settings, **changed})


def test_the_interval_is_students():
    """Of 1, 2, 3, 4, 5: s = √2.5, t(0.975, 4) = 2.776445 from a printed table."""
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)
    assert interval([1, 2, 3, 4, 5]) == pytest.approx((3, 3 - half, 3 + half, 5), abs=1e-5)


def test_differences_are_of_the_seeds_that_both_have():
    assert paired({0: 10.0, 1: 12.0, 2: 99.0}, {0: 9.0, 1: 10.0, 3: 0.0})[::3] == (1.5, 2)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Interval(2, 1, 3, 5), "holds"),
        (Interval(-2, -3, -1, 5), "does not hold"),
        (Interval(1, -1, 3, 5), "undecided"),
        (Interval(9, math.nan, math.nan, 1), "undecided"),
        (interval([]), "not run"),
    ],
)
def test_a_verdict_is_the_side_of_zero_that_the_interval_lies_on(found, says):
    assert verdict(found) == says


def test_a_mean_over_languages_is_of_seeds_that_have_them_all():
    rows = [(0, "M1", "bn", "win_rate", 10.0), (0, "M1", "sw", "win_rate", 20.0), (1, "M1", "bn", "win_rate", 50.0)]
    found = pd.DataFrame(rows, columns=arms.COLUMNS)
    assert arms.at(found, Point.parse("a / M1 [bn sw]"), "win_rate") == {0: 15.0}


@pytest.mark.parametrize("arm", ARMS, ids=[arm.folder for arm in ARMS])
def test_every_arm_composes(arm):
    """A mistyped override would be found hours into the experiments."""
    assert arm.world in worlds.WORLDS
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        compose("config", [*arms.SETTINGS, *arm.overrides])
        compose("evaluate", ["data=pocket", *arms.SETTINGS, *arm.overrides, *arm.measured])


def test_a_contrast_of_no_arm_is_refused(tmp_path):
    text = "title: t\npaper: p\naxis: a\narms: {a: []}\ncontrasts: [{says: s, better: c / M0, than: a / M0}]\n"
    (tmp_path / "claim.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"c / M0 names no arm\. Arms: a"):
        claim.read(tmp_path)


def test_the_page_has_the_difference_and_its_verdict(tmp_path):
    found = table(a_M0=[60, 62, 61], b_M0=[50, 51, 53])
    page.write(one_claim(), found, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| a beats b | +9.7 [+5.9, +13.5] | 3 | holds |" in text
    (tmp_path / "README.md").write_text(text + "\nProse stays.\n", encoding="utf-8")
    page.write(one_claim(), found, tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text + "\nProse stays.\n"


def test_the_picture_is_the_same_bytes_each_time(tmp_path):
    found = table(a_M0=[60, 62, 61], b_M0=[50, 51, 53], b_dpo_en=[40, 40, 41])
    for name in ("one.svg", "two.svg"):
        plot.draw(one_claim(), found, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_arms_of_the_same_overrides_are_shared():
    folders = [arm.folder for one in CLAIMS for arm in one.arms.values()]
    assert folders.count("clean/standard") > 5
    assert len({arm._replace(measured=()) for arm in ARMS}) == len({*folders})


def test_first_words_of_an_arm_name_its_world_and_other_languages(tmp_path):
    arms_of = '{a: [in leaky, "measured: langs=low_resource", langs=high_resource], b: [in leaky, standard]}'
    text = f"title: t\npaper: p\naxis: a\narms: {arms_of}\ncontrasts: []\n"
    (tmp_path / "claim.yaml").write_text(text, encoding="utf-8")
    assert list(claim.read(tmp_path).arms.values()) == [
        claim.Arm("leaky", ("langs=high_resource",), ("langs=low_resource",)),
        claim.Arm("leaky", claim.STANDARD),
    ]


def test_what_is_measured_once_more_is_in_place_of_the_runs_own_figures(tmp_path):
    arm = claim.Arm("clean", ("langs=high_resource",), ("langs=low_resource",))
    assert arms.results(tmp_path, arm).empty
    folder = tmp_path / arm.folder / "seed=3"
    write_run(folder, {"seed": "3"}, lambda overrides: 60.0)
    own = arms.results(tmp_path, arm)
    assert own[own.model == "M0"].value.max() < 100
    found = Measured(["sw"], {"M0": ""}, {"win_rate": Result({"M0": {"win_rate": {"sw": 51.5}}})})
    layout = Layout(tmp_path / "measured" / arm.folder / "langs=low_resource" / folder.name)
    layout.path.mkdir(parents=True)
    manifest.write(layout.manifest, manifest.read(layout.manifest))
    layout.measured.write_text(json.dumps(found.as_json()), encoding="utf-8")
    both = arms.results(tmp_path, arm).set_index(["seed", "model", "language", "figure"]).value
    assert both[3, "M0", "sw", "win_rate"] == 51.5
    assert both.drop((3, "M0", "sw", "win_rate")).to_dict() == {
        key: value
        for key, value in own.set_index(["seed", "model", "language", "figure"]).value.items()
        if key != (3, "M0", "sw", "win_rate")
    }
