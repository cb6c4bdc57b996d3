"""The length-controlled win rate against the likelihood itself, known parameters, and the plain win rate."""

import numpy as np
import pytest

from icr.evaluation.length_controlled import RIDGE, fit_length_model, length_controlled_win_rate


def _data(seed: int, n: int, intercept: float, slope: float, shift: float = 0.0):
    """Lengths, and hard outcomes drawn from the model itself."""
    rng = np.random.default_rng(seed)
    theirs = rng.integers(50, 150, n).astype(float)
    ours = theirs + rng.normal(shift, 30, n)
    feature = np.tanh((ours - theirs) / (ours - theirs).std(ddof=1))
    p = 1 / (1 + np.exp(-(intercept + slope * feature)))
    return (rng.random(n) < p).astype(float), ours, theirs, p


def _loss(theta, q, ours, theirs):
    """Negative penalised log-likelihood written out plainly, with Python's own logs."""
    difference = ours - theirs
    p = 1 / (1 + np.exp(-(theta[0] + theta[1] * np.tanh(difference / difference.std(ddof=1)))))
    return -np.sum(q * np.log(p) + (1 - q) * np.log(1 - p)) + RIDGE / 2 * (theta[0] ** 2 + theta[1] ** 2)


def test_no_point_of_a_fine_grid_is_better():
    q, ours, theirs, _ = _data(0, 120, -0.4, 1.3)
    model = fit_length_model(q, ours, theirs)
    best = _loss((model.intercept, model.slope), q, ours, theirs)
    steps = np.linspace(-0.5, 0.5, 41)
    assert all(
        _loss((model.intercept + a, model.slope + b), q, ours, theirs) >= best - 1e-9 for a in steps for b in steps
    )


def test_gradient_vanishes_by_central_differences_also_for_soft_outcomes():
    _, ours, theirs, p = _data(1, 80, 0.7, -2.0)
    model = fit_length_model(p, ours, theirs)
    theta, h = np.array([model.intercept, model.slope]), 1e-5
    for direction in np.eye(2) * h:
        slope = (_loss(theta + direction, p, ours, theirs) - _loss(theta - direction, p, ours, theirs)) / (2 * h)
        assert abs(slope) < 1e-4


def test_recovers_the_parameters_that_made_the_data():
    _, ours, theirs, p = _data(2, 5000, 0.5, 1.5)
    exact = fit_length_model(p, ours, theirs)  # soft outcomes carry no sampling noise
    assert (exact.intercept, exact.slope) == pytest.approx((0.5, 1.5), abs=1e-3)
    q, ours, theirs, _ = _data(3, 20000, 0.5, 1.5)
    noisy = fit_length_model(q, ours, theirs)
    assert (noisy.intercept, noisy.slope) == pytest.approx((0.5, 1.5), abs=0.06)


def test_longer_answers_that_win_by_length_alone_come_down_to_fifty():
    q, ours, theirs, _ = _data(4, 20000, 0.0, 2.0, shift=40)
    assert 100 * q.mean() > 70
    assert length_controlled_win_rate(q, ours, theirs) == pytest.approx(50, abs=3)


def test_equals_the_win_rate_where_lengths_say_nothing():
    q = np.array([1, 1, 1, 0, 0.5] * 40)
    assert length_controlled_win_rate(q, np.full(200, 7), np.full(200, 7)) == pytest.approx(70, abs=0.01)
    assert length_controlled_win_rate(q, np.full(200, 9), np.full(200, 7)) == pytest.approx(70, abs=0.01)
    balanced = np.tile(q, 2)  # every outcome once with +10 and once with −10
    ours = np.repeat([110.0, 90.0], 200)
    assert length_controlled_win_rate(balanced, ours, np.full(400, 100.0)) == pytest.approx(70, abs=0.01)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_separable_data_stay_finite(outcome):
    rng = np.random.default_rng(5)
    model = fit_length_model(np.full(50, outcome), rng.normal(100, 9, 50), np.full(50, 100.0))
    assert np.isfinite([model.intercept, model.slope]).all()
    assert abs(model.win_rate - 100 * outcome) < 1
    lengths = rng.normal(100, 9, 50)
    split = fit_length_model((lengths > 100).astype(float), lengths, np.full(50, 100.0))
    assert np.isfinite([split.intercept, split.slope]).all()
    assert split.slope > 3


def test_swapping_the_sides_gives_the_complement():
    q, ours, theirs, _ = _data(6, 200, 0.3, 1.0)
    there, back = length_controlled_win_rate(q, ours, theirs), length_controlled_win_rate(1 - q, theirs, ours)
    assert there + back == pytest.approx(100)


@pytest.mark.parametrize(
    ("q", "a", "b"), [([], [], []), ([1.2], [1], [1]), ([1], [1, 2], [1]), ([1], [np.nan], [1]), ([-0.1], [1], [1])]
)
def test_unusable_input_is_refused(q, a, b):
    with pytest.raises(ValueError, match=r"non-empty|outcomes"):
        length_controlled_win_rate(q, a, b)
