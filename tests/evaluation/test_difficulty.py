"""Difficulties against the likelihood itself, and what they mend."""

import numpy as np
import pytest

from icr.errors import DataError
from icr.evaluation.difficulty import (
    Verdicts,
    alpaca_eval_difficulty,
    by_prompt_id,
    joint_difficulty,
    prompt_difficulty,
)
from icr.evaluation.length_controlled import (
    LEADERBOARD,
    LengthPrior,
    fit_length_model,
    length_controlled,
    length_feature,
)


def test_table_has_a_finite_number_for_each_of_the_805_prompts_by_id_from_one():
    table = alpaca_eval_difficulty()
    assert table.shape == (805,)
    assert np.isfinite(table).all()
    assert table.std() > 1
    assert by_prompt_id(["805", "1"]).tolist() == [table[804], table[0]]


@pytest.mark.parametrize("id", ["0", "806", "a"])
def test_other_prompts_are_refused_by_name(id):
    with pytest.raises(DataError, match=f"none with id '{id}'.*joint"):
        by_prompt_id(["1", id])


def test_difficulty_of_a_prompt_is_the_maximum_of_its_posterior():
    rng = np.random.default_rng(0)
    rows, q = np.repeat(np.arange(3), 5), rng.random(15)
    offsets, slopes, weights = rng.normal(size=15), rng.random(15) + 0.5, rng.random(15)
    found = prompt_difficulty(rows, q, offsets, slopes, prompts=4, weights=weights, precision=0.3)
    assert found[3] == 0  # without verdicts, the prior
    for prompt in range(3):
        mine = rows == prompt

        def posterior(d, mine=mine):
            p = 1 / (1 + np.exp(-(offsets + slopes * d)[mine]))
            return np.sum(weights[mine] * (q[mine] * np.log(p) + (1 - q[mine]) * np.log(1 - p))) - 0.15 * d**2

        best = max(np.linspace(-3, 3, 1501), key=posterior)
        assert found[prompt] == pytest.approx(best, abs=4e-3)


def world(seed: int, intercepts: list[float], prompts: int = 400) -> tuple[list[Verdicts], np.ndarray]:
    """Models with known intercepts, whose answers are shorter where prompts are hard."""
    rng = np.random.default_rng(seed)
    d = rng.normal(0, 1.5, prompts)
    models = []
    for intercept in intercepts:
        theirs = rng.normal(2000, 300, prompts)
        ours = theirs - 500 + 150 * d + rng.normal(0, 250, prompts)
        x, _ = length_feature(ours, theirs, np.ones(prompts))
        q = 1 / (1 + np.exp(-(intercept + 1.6 * x + 0.9 * d)))
        models.append(Verdicts(range(prompts), (rng.random(prompts) < q).astype(float), ours, theirs, np.ones(prompts)))
    return models, d


def test_joint_difficulties_are_near_those_that_made_the_verdicts():
    models, d = world(0, [-1.0, 0.0, 1.0, -0.5, 0.5] * 2)
    found = joint_difficulty(models)
    assert list(found) == list(range(400))
    assert np.corrcoef(list(found.values()), d)[0, 1] > 0.7


def test_joint_fit_is_a_maximum_of_the_joint_posterior():
    models, _ = world(1, [-0.5, 0.5], prompts=60)
    found = np.array(list(joint_difficulty(models).values()))

    def profile(d):
        """Best log posterior over the coefficients, up to a constant."""
        total = -0.125 * d @ d
        for m in models:
            model = fit_length_model(m.outcomes, m.lengths, m.opponent_lengths, difficulty=d)
            x, _ = length_feature(m.lengths, m.opponent_lengths, m.weights)
            z = model.intercept + model.slope * x + model.difficulty * d
            total += np.sum(m.outcomes * z - np.logaddexp(0, z)) - 0.005 * model.intercept**2
            total -= LEADERBOARD.slope_precision / 2 * (model.slope - LEADERBOARD.slope) ** 2
            total -= LEADERBOARD.difficulty_precision / 2 * (model.difficulty - LEADERBOARD.difficulty) ** 2
        return total

    best, rng = profile(found), np.random.default_rng(2)
    assert all(profile(found + rng.normal(0, 0.05, 60)) < best for _ in range(40))


def test_a_single_model_is_refused():
    with pytest.raises(ValueError, match="at least two"):
        joint_difficulty(world(0, [0.0])[0])


def test_difficulty_mends_what_hard_prompts_do_to_the_slope():
    """Where hard prompts have short answers, length alone blames length, and its figure is too high."""
    (model,), d = world(3, [-1.5], prompts=5000)
    true = 100 * np.mean(1 / (1 + np.exp(1.5 - 0.9 * d)))
    columns = model.outcomes, model.lengths, model.opponent_lengths
    alone = length_controlled(*columns).win_rate
    both = length_controlled(*columns, difficulty=d, prior=LengthPrior())
    assert both.win_rate == pytest.approx(true, abs=2)
    assert alone - true > 5


def test_standard_error_is_that_of_the_mean_of_the_predictions():
    (model,), d = world(4, [0.0], prompts=200)
    found = length_controlled(model.outcomes, model.lengths, model.opponent_lengths, difficulty=d)
    twice = length_controlled(
        *(np.tile(a, 2) for a in (model.outcomes, model.lengths, model.opponent_lengths)),
        difficulty=np.tile(d, 2),
        weights=np.full(400, 0.5),
    )
    assert twice.win_rate == pytest.approx(found.win_rate)
    assert twice.standard_error == pytest.approx(found.standard_error)
    assert 0 < found.standard_error < 3
    assert np.isnan(length_controlled([1, 0], [1, 2], [2, 2]).standard_error)
