"""`icr evaluate` on a run, a model folder and given answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from icr.evaluate import __main__ as evaluate
from icr.pocket.assets import folder
from icr.run import __main__ as run
from tests.labelled_rows import write_labelled

ROOT = Path(__file__).parents[2]

SMALL = [
    "langs=[en,sw]",
    "data.prompts_per_language=3",
    "evaluation.prompts.prompts_per_language=6",
    "sampling.n=4",
    "iterations=1",
    "optim.lr=1e-4",
    "trainer.threads=1",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small run of the embedded world."""
    path = tmp_path_factory.mktemp("runs") / "it's"
    assert run.main([f'run.dir="{path}"', *SMALL]) == 0
    return path


def status(*arguments: str) -> int:
    """The exit code of `icr evaluate`; a job ends its process itself."""
    try:
        return evaluate.main(list(arguments))
    except SystemExit as end:
        return end.code


def results(directory, benchmark="win_rate"):
    return json.loads((directory / "results.json").read_text())["results"][benchmark]


def test_the_models_of_a_run_are_measured_as_the_run_has_measured_them(finished, capsys):
    assert evaluate.main([str(finished)]) == 0
    summary = json.loads((finished / "summary.json").read_text())
    found = results(finished / "benchmarks")["figures"]
    assert list(found) == ["sft", "dpo_en", "M0"]
    assert found == {model["name"]: model["figures"] for model in summary["models"]}
    capsys.readouterr()


def test_a_job_of_a_sweep_has_a_sign_of_equality_in_its_name(finished, tmp_path):
    job = tmp_path / "0_loss.alpha=0,seed=1"
    shutil.copytree(finished, job)
    assert evaluate.main([str(job)]) == 0
    assert results(job / "benchmarks")["figures"].keys() == {"sft", "dpo_en", "M0"}
    assert status(str(tmp_path / "loss=dpo")) == 2


def test_it_goes_on_where_it_stopped(finished, monkeypatch):
    evaluate.main([str(finished)])
    (finished / "benchmarks/evaluation/M0.parquet").unlink()
    before = results(finished / "benchmarks")
    monkeypatch.setattr("icr.sampling.transformers_sampler.TransformersSampler.sample", None)
    assert evaluate.main([str(finished)]) == 0
    assert results(finished / "benchmarks") == before


def test_another_setting_is_refused_in_the_same_directory(finished, capsys):
    evaluate.main([str(finished)])
    assert status(str(finished), "judge.malformed=0.2") == 2
    assert "judge.malformed: 0.1 → 0.2   (evaluation/sft)" in capsys.readouterr().err


def test_what_was_measured_before_stays(finished):
    evaluate.main([str(finished)])
    before = json.loads((finished / "benchmarks/results.json").read_text())
    tasks = f"tasks=[{ROOT}/examples/lm_eval/topics_{{language}}.yaml]"
    assert evaluate.main([str(finished), "benchmark=lm_eval", tasks, "langs=[sw]", "evaluate.only=[M0]"]) == 0
    after = json.loads((finished / "benchmarks/results.json").read_text())
    assert list(after["results"]) == ["win_rate", "lm_eval"]
    assert list(after["results"]["lm_eval"]["figures"]) == ["M0"]
    assert after["results"].pop("lm_eval")["notes"]
    assert after == before


def test_some_models_of_a_run_in_a_directory_of_their_own(finished, tmp_path):
    assert evaluate.main([str(finished), "evaluate.only=[M0]", f"run.dir={tmp_path / 'own'}"]) == 0
    assert list(results(tmp_path / "own")["figures"]) == ["M0"]


def test_controls_are_measured_where_that_is_asked_for(finished, tmp_path, capsys):
    labelled = f"benchmark.labelled={write_labelled(tmp_path / 'labelled', ['en', 'sw'], 6)}"
    asked = ["benchmark=preferences", labelled, "evaluate.controls=true"]
    assert status(str(finished), *asked, f"run.dir={tmp_path / 'out'}") == 2
    assert "evaluate.controls: " in (said := capsys.readouterr().err)
    assert "has no control with a trained model" in said
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    shutil.copytree(finished, run_dir / "controls" / "random_labels", ignore=shutil.ignore_patterns("benchmarks"))
    assert evaluate.main([str(run_dir), *asked, f"run.dir={tmp_path / 'out'}"]) == 0
    figures = results(tmp_path / "out", "preferences")["figures"]
    assert list(figures) == ["sft", "dpo_en", "M0", "random_labels_M0"]
    assert figures["random_labels_M0"] == figures["M0"]
    assert figures["sft"]["preference_accuracy"] == {"mean": None, "en": None, "sw": None}
    shown = " ".join(capsys.readouterr().out.split())
    assert "has the highest preference accuracy" in shown
    # The terminal's table, the page and the CSV have them all.
    assert "Preference accuracy, %" in (tmp_path / "out" / "leaderboard.html").read_text(encoding="utf-8")
    assert "preferences,M0,preference_margin,sw," in (tmp_path / "out" / "leaderboard.csv").read_text(encoding="utf-8")


def test_answers_are_described_without_a_judge_and_judged_later(finished, tmp_path, monkeypatch, capsys):
    out = f"run.dir={tmp_path / 'out'}"
    assert evaluate.main([str(finished), "benchmark=answers", "judge=none", out]) == 0
    assert "Distinct" not in (shown := " ".join(capsys.readouterr().out.split()))
    assert "Repeating, %" in shown
    page = (tmp_path / "out" / "leaderboard.html").read_text(encoding="utf-8")
    assert 'id="answers"' in page
    assert '"judged":false' in page.replace(" ", "")
    assert evaluate.main([str(finished)]) == 0
    monkeypatch.setattr("icr.sampling.transformers_sampler.TransformersSampler.sample", None)
    assert evaluate.main([str(finished), out]) == 0
    assert results(tmp_path / "out") == results(finished / "benchmarks")


def test_a_model_folder(tmp_path):
    given = ["data=pocket", f"run.dir={tmp_path / 'out'}", *SMALL[:4]]
    assert evaluate.main([str(folder("sft")), *given]) == 0
    assert list(results(tmp_path / "out")["figures"]) == ["sft"]


def files(path, **rows):
    path.mkdir(exist_ok=True)
    for language, texts in rows.items():
        listed = [{"id": n, "instruction": f"q{n}", "output": text} for n, text in enumerate(texts, start=1)]
        (path / f"m.{language}.json").write_text(json.dumps(listed), encoding="utf-8")
        (path / f"{language}.json").write_text(json.dumps(listed), encoding="utf-8")
    return path


def given_answers(tmp_path, theirs=("an answer", "")):
    prompts = files(tmp_path / "prompts", en=["the reference", "another"])
    other = files(tmp_path / "other", en=theirs)
    return status(
        "evaluation=x_alpacaeval",
        "evaluation.prompts.full_set=2",
        f"evaluation.prompts.dir={prompts}",
        f"evaluation.references.files={prompts}/m.{{language}}.json",
        f"evaluate.answers.theirs={other}/m.{{language}}.json",
        "langs=[en]",
        "+judge._target_=tests.evaluate.judges.Longer",
        f"run.dir={tmp_path / 'out'}",
    )


def test_answers_that_others_have_generated(tmp_path):
    assert given_answers(tmp_path) == 0
    figures = results(tmp_path / "out")["figures"]["theirs"]
    assert figures["win_rate"]["en"] == 0
    assert figures["unjudged"]["en"] == 0


def test_they_are_known_by_content(tmp_path, capsys):
    assert given_answers(tmp_path) == 0
    again = given_answers(tmp_path, theirs=["another answer", ""])
    assert again == 2
    assert "(answers/theirs)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nothing is given to measure: icr evaluate <directory of a run>"),
        (["nowhere/at/all"], "The model folder nowhere/at/all does not exist"),
        (["data=pocket", "evaluate.only=[nope]"], "evaluate.only: there is no 'nope'. Names: dpo_en"),
        (["data=pocket", "evaluate.baseline=dpo_n"], "evaluate.baseline: there is no 'dpo_n'. Did you mean dpo_en?"),
        ([f"model.path={folder('sft')}"], "choose one with evaluation=<option>, such as x_alpacaeval"),
        (
            ["data=pocket", "evaluation=x_alpacaeval"],
            "evaluation.references.files, evaluation.prompts.dir must be given",
        ),
        (["data=pocket", "evaluate.modles={}"], "evaluate.modles is not a setting"),
        (["data=pocket", "judge=none"], "judge is missing"),
        (
            ["data=pocket", "benchmark=preferences"],
            "benchmark.labelled must be given, as in benchmark.labelled=<value>",
        ),
        (
            ["data=pocket", "benchmark=preferences", "benchmark.labelled=no"],
            "benchmark.labelled: the folder no does not",
        ),
        (
            [f"model.path={folder('sft')}", "benchmark=preferences", "benchmark.labelled=no"],
            "benchmark.base is missing: the log-ratio of a model is against another one",
        ),
        (
            ["data=pocket", "benchmark=preferences", "benchmark.labelled=no", "benchmark.rows=0"],
            "benchmark.rows must be a whole number",
        ),
        (
            [
                "data=pocket",
                "benchmark=preferences",
                "benchmark.labelled=no",
                "reward_prompt@benchmark.prompt=translate",
            ],
            "benchmark.prompt must leave answers as they are",
        ),
        (["data=pocket", "evaluate.answers.dpo_en=x.{language}.json"], "a model has this name already"),
    ],
)
def test_a_mistake_is_a_paragraph_and_nothing_is_made(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert status(*arguments, "run.dir=out") == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.startswith("icr: ")
    assert "Traceback" not in shown
    assert not list(tmp_path.iterdir())


def test_a_mistyped_run_or_setting_is_named_with_the_nearest(finished, capsys):
    beside = finished.with_name("its")
    assert status(str(beside)) == 2
    assert f"The model folder {beside} does not exist. Did you mean {finished}?" in capsys.readouterr().err
    assert status(str(finished), "juge=pocket") == 2
    said = capsys.readouterr().err
    assert said == "icr: juge is not a setting. Did you mean judge? `icr evaluate --cfg job` lists them all.\n"


def test_a_run_without_its_overrides_or_rounds(finished, tmp_path, capsys):
    other = tmp_path / "run"
    shutil.copytree(finished, other, ignore=shutil.ignore_patterns("benchmarks"))
    (other / "overrides.yaml").write_text("{", encoding="utf-8")
    assert status(str(other)) == 2
    assert "overrides.yaml is damaged: it should hold a list of overrides" in capsys.readouterr().err
    (other / "overrides.yaml").unlink()
    assert status(str(other)) == 2
    assert "has no overrides.yaml, which says what it was made with" in capsys.readouterr().err
