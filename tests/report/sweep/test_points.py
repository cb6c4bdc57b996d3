"""Means and intervals over seeds, against numbers by hand and from tables."""

import math

import pytest
from scipy import stats

from icr.report.sweep.points import Point, half_width, intervals_note, quantile
from icr.report.sweep.sentences import highest, highest_at, lower
from icr.report.sweep.series import apart, label, limits


def point(value, *seeds, error=math.nan):
    return Point((value,), "M0", "round", "mean", {str(i): rate for i, rate in enumerate(seeds)}, error)


@pytest.mark.parametrize("freedom", [*range(1, 32), 60, 120, 1000])
def test_quantiles_are_students(freedom):
    assert quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-5)


def test_half_an_interval_is_t_s_over_the_root_of_n():
    # s = √2.5, n = 5: 2.776 · √2.5 / √5.
    assert half_width([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2.776445 * math.sqrt(0.5), abs=1e-9)
    assert math.isnan(half_width([1.0]))


def test_a_single_seed_has_the_interval_of_its_evaluation():
    alone = point("1", 60.0, error=1.5)
    assert (alone.mean, alone.half, alone.interval) == (60.0, pytest.approx(2.94, abs=1e-3), "prompts")
    assert point("1", 60.0).interval == "none"


def test_differences_are_paired_by_seed():
    # Seeds move both alike: 60, 62, 64 and 57, 58, 62; differences 3, 4, 2, with s = 1.
    assert lower(point("1", 60.0, 62.0, 64.0), point("0", 57.0, 58.0, 62.0)) == "3.0 ± 2.5 lower"
    assert lower(point("1", 60.0, 62.0), point("0", 61.0, 58.0)).endswith("which may be chance")
    assert lower(point("1", 60.0), point("0", 57.0)) == "3.0 lower"


def test_the_highest_is_told_with_those_next_to_it():
    found = [point(str(i), 50.0 + i, error=0.5) for i in range(6)]
    assert highest(found, ["loss.alpha"]) == "Highest at α = 5: 55.0 ± 1.0; α = 4 is 1.0 lower; α = 0 is 5.0 lower."
    assert highest([], ["loss.alpha"]) == ""


def test_it_is_said_what_intervals_are_of():
    several, alone = point("0", 1.0, 2.0, 3.0), point("1", 1.0, error=0.5)
    assert intervals_note([several]) == "Bars are 95 % intervals over 3 seeds (Student's t)."
    assert "over 2 to 3 seeds" in intervals_note([several, point("1", 1.0, 2.0)])
    assert "where there is a single seed, of one seed's evaluation" in intervals_note([several, alone])
    assert intervals_note([point("0", 1.0)]) == "No intervals are known."


def test_over_many_settings_of_the_other_keys_the_best_values_are_counted():
    settings = [(loss, str(n)) for n in range(6) for loss in ("dpo", "kto")]
    found = [
        Point(s, "M0", "round", "mean", {"0": 50.0 + (s == ("dpo", "0")) + (s[0] == "kto") * 0.5}) for s in settings
    ]
    says = highest_at(found, ["loss", "sampling.n"], "loss")
    assert says.startswith("Over 6 settings of the other keys, it is highest at loss = kto in 5, dpo in 1. Highest at ")


def test_ticks_stand_apart_and_the_ends_are_kept():
    numbers = [100.0, 1000.0, 3000.0, 5000.0]
    assert apart([math.log(n) for n in numbers], numbers) == [100.0, 1000.0, 5000.0]
    assert apart([0.0, 0.5, 1.0], [0.0, 0.5, 1.0]) == [0.0, 0.5, 1.0]
    assert apart([3.0], [3.0]) == [3.0]
    assert apart([0.0, 0.01], [0.0, 0.01]) == [0.0, 0.01]


def test_bars_longer_than_all_that_is_seen_are_cut():
    wide = [point("0", 50.0, 52.0), point("1", 51.0, 53.0)]  # ± 12.7
    low, high, cut = limits(wide)
    assert cut
    assert 44 < low < 50 < 53 < high < 58
    assert not limits([point("0", 50.0, error=1.0)])[2]


def test_labels_are_cut_and_mean_what_they_say():
    assert label("a" * 99).endswith("a…")
    assert label("$x$") == r"\$x\$"
