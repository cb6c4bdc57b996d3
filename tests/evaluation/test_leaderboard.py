"""The published figures of AlpacaEval 2, on real verdicts of 35 models."""

from __future__ import annotations

import csv
import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from icr.evaluation import alpaca_eval_difficulty, length_controlled
from icr.evaluation.difficulty import prompt_difficulty
from icr.evaluation.length_controlled import length_feature
from icr.evaluation.win_rate import win_rate, win_rate_standard_error

BASELINE = "gpt4_1106_preview"
FOLDER = Path(os.environ.get("ICR_SHARED_DATA", Path(__file__).parents[2] / "../shared/data")) / "alpaca_eval"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no verdicts of AlpacaEval: $ICR_SHARED_DATA or ../shared/data"
)


@dataclass
class Model:
    """Verdicts, and what is published."""

    outcomes: np.ndarray
    lengths: np.ndarray
    opponent_lengths: np.ndarray
    published: dict[str, str]
    weights: np.ndarray

    @property
    def feature(self) -> np.ndarray:
        return length_feature(self.lengths, self.opponent_lengths, np.ones(805))[0]


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    published = {row["model"]: row for row in csv.DictReader((FOLDER / "leaderboard.csv").open())}
    weights = {row["model"]: row for row in csv.DictReader((FOLDER / "weights.csv").open())}
    by: dict[str, list[tuple[float, ...]]] = {}
    with gzip.open(FOLDER / "verdicts.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            preference = float(row["preference"]) or 1.5  # 0 is a draw
            numbers = (
                int(row["index"]),
                preference - 1,
                float(row["model_characters"]),
                float(row["baseline_characters"]),
            )
            by.setdefault(row["model"], []).append(numbers)
    found = {}
    for name, rows in by.items():
        _, outcomes, lengths, opponents = np.array(sorted(rows)).T
        coefficients = np.array([float(weights[name][key]) for key in ("length", "difficulty", "not_gamed")])
        found[name] = Model(outcomes, lengths, opponents, published[name], coefficients)
    return found


def difficulties_from(train: list[Model]) -> np.ndarray:
    """The table under the published weights, whose length is the baseline's less the model's."""
    return prompt_difficulty(
        np.tile(np.arange(805), len(train)),
        np.concatenate([m.outcomes for m in train]),
        np.concatenate([m.weights[2] - m.weights[0] * m.feature for m in train]),
        np.repeat([m.weights[1] for m in train], 805),
        prompts=805,
    )


def test_win_rates_and_standard_errors_are_the_published_ones(models):
    assert len(models) == 35
    for name, model in models.items():
        assert win_rate(model.outcomes, range(805)) == pytest.approx(float(model.published["win_rate"]), abs=1e-9), name
        error = win_rate_standard_error(model.outcomes, range(805))
        assert error == pytest.approx(float(model.published["standard_error"]), abs=1e-9), name


def test_length_control_with_the_shipped_table_is_near_the_published_one(models):
    """The table was made with these models; what it does on others is the next test."""
    errors, of_errors = [], []
    for model in models.values():
        found = length_controlled(
            model.outcomes, model.lengths, model.opponent_lengths, difficulty=alpaca_eval_difficulty()
        )
        errors.append(abs(found.win_rate - float(model.published["length_controlled_winrate"])))
        if model.published["lc_standard_error"]:
            of_errors.append(abs(found.standard_error - float(model.published["lc_standard_error"])))
    assert np.mean(errors) < 0.3
    assert max(errors) < 1
    assert max(of_errors) < 0.25


def test_length_control_of_models_that_the_table_was_made_without(models):
    """Mean error at most 0.7 points and none above 6, by fifths; halves and families are in the experiment."""
    names = [name for name in models if name != BASELINE]
    errors = []
    for held in np.array_split(np.random.default_rng(0).permutation(names), 5):
        train = [models[name] for name in names if name not in held]
        table = difficulties_from(train)
        for model in (models[name] for name in held):
            found = length_controlled(model.outcomes, model.lengths, model.opponent_lengths, difficulty=table)
            errors.append(abs(found.win_rate - float(model.published["length_controlled_winrate"])))
    assert np.mean(errors) < 0.4
    assert max(errors) < 2


def test_the_baseline_against_itself_is_even(models):
    model = models[BASELINE]
    found = length_controlled(
        model.outcomes, model.lengths, model.opponent_lengths, difficulty=alpaca_eval_difficulty()
    )
    assert found.win_rate == pytest.approx(50, abs=0.1)


def test_the_shipped_table_is_what_the_experiment_makes(models):
    train = [model for name, model in models.items() if name != BASELINE]
    table = difficulties_from(train)
    assert alpaca_eval_difficulty() == pytest.approx(table, abs=6e-5)


def test_x_alpaca_eval_numbers_the_prompts_in_alpaca_evals_order_from_one():
    order = json.loads((FOLDER / "instructions.json").read_text("utf-8"))
    translated = json.loads((FOLDER.parent / "x_alpacaeval/instructions/en.json").read_text("utf-8"))
    assert [(row["id"], row["instruction"]) for row in translated] == list(enumerate(order, start=1))
