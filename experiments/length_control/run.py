"""Difficulty of AlpacaEval's 805 prompts from public verdicts, and how near length control comes to the leaderboard.

    python experiments/length_control/run.py --data ../shared/data/alpaca_eval

Writes the table that the package ships (with --table), `results.csv` and `models.csv`. About five minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from icr.evaluation import difficulty as shipped
from icr.evaluation.difficulty import Verdicts, joint_difficulty, prompt_difficulty
from icr.evaluation.length_controlled import (
    LEADERBOARD,
    LEADERBOARD_ALONE,
    WEAK,
    LengthPrior,
    length_controlled_win_rate,
    length_feature,
)

HERE = Path(__file__).parent
BASELINE = "gpt4_1106_preview"
PROMPTS = 805
FAMILIES = ("FuseChat", "claude", "gpt", "gemma", "openbuddy", "oasst", "vicuna", "alpaca-farm")
Split = tuple[list[str], list[str]]
Predict = Callable[[list[str], list[str]], dict[str, float]]


@dataclass(frozen=True)
class Model:
    """Verdicts of one model on the 805 prompts, and what is published about it."""

    outcomes: np.ndarray
    lengths: np.ndarray
    opponent_lengths: np.ndarray
    published: float
    weights: np.ndarray


def read(folder: Path) -> dict[str, Model]:
    """The models of a folder, without the baseline itself; without weights where it has none."""
    listed = folder / "weights.csv"
    weights = pd.read_csv(listed, index_col="model") if listed.is_file() else pd.DataFrame()
    verdicts = pd.read_csv(folder / "verdicts.csv.gz").sort_values(["model", "index"])
    published = pd.read_csv(folder / "leaderboard.csv", index_col="model")["length_controlled_winrate"]
    return {
        str(name): Model(
            (rows["preference"].replace(0, 1.5) - 1).to_numpy(),
            rows["model_characters"].to_numpy(float),
            rows["baseline_characters"].to_numpy(float),
            float(published[name]),
            weights.loc[name].to_numpy(float) if name in weights.index else np.full(3, np.nan),
        )
        for name, rows in verdicts.groupby("model")
        if name != BASELINE
    }


def table(models: list[Model]) -> np.ndarray:
    """Maximum a posteriori difficulties under the published weights of these models. Shape `[805]`."""
    ones = np.ones(PROMPTS)
    features = [length_feature(m.lengths, m.opponent_lengths, ones)[0] for m in models]
    return prompt_difficulty(
        np.tile(np.arange(PROMPTS), len(models)),
        np.concatenate([m.outcomes for m in models]),
        # published weights are of the baseline's length less the model's
        np.concatenate([m.weights[2] - m.weights[0] * x for m, x in zip(models, features, strict=True)]),
        np.concatenate([np.full(PROMPTS, m.weights[1]) for m in models]),
        prompts=PROMPTS,
    )


def controlled(model: Model, difficulty: np.ndarray | None, prior: LengthPrior) -> float:
    """The figure that the package gives."""
    return length_controlled_win_rate(
        model.outcomes, model.lengths, model.opponent_lengths, difficulty=difficulty, prior=prior
    )


def fitted_prior(models: list[Model], seed: int = 0) -> LengthPrior:
    """The prior with the least squared error over these models, each judged by a table made without its fifth."""
    fifths = np.array_split(np.random.default_rng(seed).permutation(len(models)), 5)
    pairs = []
    for held in fifths:
        d = table([m for n, m in enumerate(models) if n not in held])
        pairs += [(models[n], d) for n in held]

    def loss(x: np.ndarray) -> float:
        prior = LengthPrior(x[0], np.exp(x[1]), x[2], np.exp(x[3]))
        return float(np.mean([(controlled(m, d, prior) - m.published) ** 2 for m, d in pairs]))

    x = minimize(loss, [1.6, 2.5, 0.8, 3.5], method="Nelder-Mead", options={"maxfev": 120}).x
    return LengthPrior(float(x[0]), float(np.exp(x[1])), float(x[2]), float(np.exp(x[3])))


def fitted_prior_alone(models: list[Model]) -> LengthPrior:
    """The prior of the slope with the least squared error over these models, without difficulties."""

    def loss(x: np.ndarray) -> float:
        prior = LengthPrior(x[0], np.exp(x[1]))
        return float(np.mean([(controlled(m, None, prior) - m.published) ** 2 for m in models]))

    x = minimize(loss, [1.0, 4.0], method="Nelder-Mead", options={"maxfev": 80}).x
    return LengthPrior(float(x[0]), float(np.exp(x[1])))


def splits(names: list[str], folds: int, repeats: int, seed: int) -> Iterator[Split]:
    """Pairs of models to learn from and models to be judged."""
    generator = np.random.default_rng(seed)
    for _ in range(repeats):
        for held in np.array_split(generator.permutation(len(names)), folds):
            test = [names[n] for n in held]
            yield [name for name in names if name not in test], test


def families(names: list[str]) -> Iterator[Split]:
    """Whole families of models are held out: relatives answer alike."""
    for family in FAMILIES:
        test = [name for name in names if name.startswith(family)]
        yield [name for name in names if name not in test], test


def predictions(models: dict[str, Model]) -> tuple[dict[str, Predict], dict[str, Predict]]:
    """Ways to predict win rates of models, having learnt from others: with one prior, and with one fitted each time."""

    def alone(prior: LengthPrior, train: list[str], test: list[str]) -> dict[str, float]:
        return {name: controlled(models[name], None, prior) for name in test}

    def alone_fitted(train: list[str], test: list[str]) -> dict[str, float]:
        return alone(fitted_prior_alone([models[name] for name in train]), train, test)

    def with_table(prior: LengthPrior, train: list[str], test: list[str]) -> dict[str, float]:
        d = table([models[name] for name in train])
        return {name: controlled(models[name], d, prior) for name in test}

    def with_both(train: list[str], test: list[str]) -> dict[str, float]:
        return with_table(fitted_prior([models[name] for name in train]), train, test)

    fixed: dict[str, Predict] = {
        "length alone, no prior": partial(alone, WEAK),
        "length alone, shipped prior": partial(alone, LEADERBOARD_ALONE),
        "table, no prior": partial(with_table, WEAK),
        "table, prior on the slope alone N(1.9, 8)": partial(with_table, LengthPrior(1.9, 8)),
        "table, shipped prior": partial(with_table, LEADERBOARD),
    }
    return fixed, {
        "length alone, prior fitted in each split": alone_fitted,
        "table, prior fitted in each split": with_both,
    }


def joint_errors(models: dict[str, Model], together: int, sets: int, seed: int) -> list[float]:
    """Errors of models that are compared with each other alone, without a table."""
    generator, names, errors = np.random.default_rng(seed), list(models), []
    for _ in range(sets):
        chosen = [models[names[n]] for n in generator.choice(len(names), together, replace=False)]
        shared = [Verdicts(range(PROMPTS), m.outcomes, m.lengths, m.opponent_lengths, np.ones(PROMPTS)) for m in chosen]
        d = np.array(list(joint_difficulty(shared).values()))
        errors += [controlled(m, d, LEADERBOARD) - m.published for m in chosen]
    return errors


def judge_others(folder: Path, difficulty: np.ndarray) -> None:
    """Print the errors on models that neither the table nor the priors have seen."""
    errors = {name: controlled(m, difficulty, LEADERBOARD) - m.published for name, m in read(folder).items()}
    for name, error in errors.items():
        print(f"{error:+6.2f}  {name}")
    print(row("table, shipped prior", "other models", list(errors.values())))


def row(what: str, split: str, errors: list[float]) -> dict[str, object]:
    """A line of the table of results, in points."""
    size = np.abs(errors)
    line = {"fitted": what, "judged by": split, "mean": size.mean(), "median": np.median(size), "max": size.max()}
    return {key: value if isinstance(value, str) else round(float(value), 2) for key, value in line.items()} | {
        "bias": round(float(np.mean(errors)), 2)
    }


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of verdicts.csv.gz, leaderboard.csv, weights.csv"
    )
    parser.add_argument("--table", action="store_true", help="write the table of the package anew")
    parser.add_argument(
        "--others", type=Path, help="only judge the models of this folder, which lends no weights, and stop"
    )
    arguments = parser.parse_args()
    models = read(arguments.data)
    if arguments.others:
        judge_others(arguments.others, table(list(models.values())))
        return
    names = list(models)
    if arguments.table:
        d = table(list(models.values()))
        lines = ["id,difficulty", *(f"{n},{value:.4f}" for n, value in enumerate(d, start=1))]
        Path(shipped.__file__).with_name(shipped.TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("prior over all models:", fitted_prior(list(models.values())))
    print("prior of the slope alone:", fitted_prior_alone(list(models.values())))
    results, by_model = [], pd.DataFrame({"published": {name: m.published for name, m in models.items()}})
    fixed, fitted = predictions(models)
    quick = {"fifths, 3 times": list(splits(names, 5, 3, 1)), "leave a family out": list(families(names))}
    all_splits = {
        "leave one model out": list(splits(names, len(names), 1, 0)),
        "halves, 6 times": list(splits(names, 2, 6, 2)),
        **quick,
    }
    for what, predict in {**fixed, **fitted}.items():
        for split, pairs in (all_splits if what in fixed else quick).items():
            found = [(name, value) for train, test in pairs for name, value in predict(train, test).items()]
            results.append(row(what, split, [value - models[name].published for name, value in found]))
            print(results[-1], flush=True)
            if split == "leave one model out":
                by_model[what] = pd.Series(dict(found)).round(2)
    for together in (2, 3, 5, 10):
        results.append(row(f"joint, {together} models", "20 draws", joint_errors(models, together, 20, 3)))
        print(results[-1], flush=True)
    pd.DataFrame(results).to_csv(HERE / "results.csv", index=False)
    by_model.rename_axis("model").to_csv(HERE / "models.csv")


if __name__ == "__main__":
    main()
