"""The benchmark `lm_eval` by local tasks on two shipped models, against log-likelihoods by transformers itself."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
import yaml

from icr.config import conf_dir
from icr.errors import ConfigError, DataError
from icr.evaluation import Bench, LMEval, Setting, Subject
from icr.evaluation.harness.harness import Asked, Harness
from icr.evaluation.harness.tasks import HarnessTask, tasks_of
from icr.evaluation.intervals import paired_difference
from icr.keys import of_stages
from icr.models import Loader, Lora
from icr.pocket.assets import folder
from icr.rundir import RunDirectory
from icr.sampling import TransformersSampler

EXAMPLE = Path(__file__).parents[2] / "examples" / "lm_eval"
SUITES = yaml.safe_load((conf_dir() / "benchmark" / "lm_eval.yaml").read_text(encoding="utf-8"))["benchmark"]["suites"]
MODELS = {"sft": str(folder("sft")), "dpo_en": str(folder("dpo_en"))}


def setting(*languages: str) -> Setting:
    return Setting(languages, TransformersSampler(), lambda given, longest: given, Loader())


@pytest.fixture
def task(tmp_path) -> Path:
    """A task like the example's, with a figure that depends on the log-likelihoods themselves."""
    for name in ("topics_en.jsonl", "topics_sw.jsonl"):
        rows = (EXAMPLE / name).read_text(encoding="utf-8").splitlines()[:8]
        (tmp_path / name).write_text("\n".join(rows), encoding="utf-8")
    config = yaml.safe_load((EXAMPLE / "_topics.yaml").read_text(encoding="utf-8"))
    config["metric_list"].append({"metric": "brier_score", "higher_is_better": False})
    for code in ("en", "sw"):
        own = {"task": f"mine_{code}", "dataset_kwargs": {"data_files": {"test": f"topics_{code}.jsonl"}}}
        (tmp_path / f"mine_{code}.yaml").write_text(yaml.safe_dump(config | own), encoding="utf-8")
    return tmp_path / "mine_{language}.yaml"


def measured(where, benchmark, languages=("en", "sw"), models=MODELS):
    """As `icr evaluate` does it."""
    opened = benchmark.open(setting(*languages))
    subjects = [Subject(name, path) for name, path in models.items()]
    keys = {}
    for subject in subjects:
        keys |= of_stages(opened.stages(subject), subject.path, {})
    bench = Bench(RunDirectory(where, keys), Loader(), "cpu", 0)
    for subject in subjects:
        opened.measure(subject, bench)
    return opened


def log_likelihoods(path: str, rows: list[dict], ask) -> torch.Tensor:
    """`log p(" " + choice | question)` of each choice, by transformers, one sequence at a time. Shape `[rows, 4]`."""
    loaded = Loader().load(path)
    tokenizer = loaded.renderer.tokenizer

    def one(question: str, choice: str) -> float:
        context = tokenizer.encode(question)
        ids = tokenizer.encode(question + choice)
        with torch.inference_mode():
            logits = loaded.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        return sum(float(logits[i - 1, ids[i]]) for i in range(len(context), len(ids)))

    return torch.tensor([[one(*ask(loaded, row["question"], choice)) for choice in row["choices"]] for row in rows])


def plain(loaded, question: str, choice: str) -> tuple[str, str]:
    return question, f" {choice}"


def as_a_turn(loaded, question: str, choice: str) -> tuple[str, str]:
    messages = [{"role": "user", "content": question}]
    rendered = loaded.renderer.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return rendered, choice


@pytest.mark.parametrize("chat_template", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_its_figures_are_those_of_log_likelihoods_by_transformers(task, tmp_path, chat_template):
    opened = measured(tmp_path / "out", LMEval([str(task)], chat_template=chat_template, batch_size=3))
    figures, rights = opened.result().figures, {}
    for model, path in MODELS.items():
        for code in ("en", "sw"):
            rows = [json.loads(row) for row in (task.parent / f"topics_{code}.jsonl").read_text("utf-8").splitlines()]
            found = log_likelihoods(path, rows, as_a_turn if chat_template else plain)
            gold = torch.tensor([row["answer"] for row in rows])
            lengths = torch.tensor([[len(choice) for choice in row["choices"]] for row in rows])
            right = (found.argmax(1) == gold).double()
            expected = {
                "acc": right.mean(),
                "acc_se": right.std() / len(rows) ** 0.5,
                "acc_norm": ((found / lengths).argmax(1) == gold).double().mean(),
                "brier_score": (found.softmax(1) - torch.nn.functional.one_hot(gold, 4)).square().sum(1).mean(),
                "documents": len(rows),
            }
            own = {name: figures[model][f"mine/{name}"][code] for name in expected}
            assert own == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-4)
            rights[model, code] = right.numpy()
    of = {row.language: row for row in opened.result().differences if row.figure == "mine/acc"}
    assert list(of) == ["mean", "en", "sw"]
    for code in ("en", "sw"):
        paired = paired_difference(rights["dpo_en", code], rights["sft", code], range(8))
        bounds = (of[code].value, of[code].low, of[code].high, of[code].prompts)
        assert bounds == pytest.approx((paired.value, paired.low, paired.high, 8))
    assert of["mean"].value == pytest.approx(of["sw"].value)
    assert {row.figure for row in opened.result("dpo_en").differences} == {
        f"mine/{name}" for name in ("acc", "acc_norm")
    }


@pytest.mark.slow
def test_what_is_measured_is_read_back_and_a_further_task_may_join(task, tmp_path):
    one = {"sft": MODELS["sft"]}
    first = measured(tmp_path / "out", LMEval([str(task)]), ["en"], one).result()
    folders = {path.parent.name for path in (tmp_path / "out").glob("*/sft.json")}
    assert folders == {"lm_eval_mine_en"}
    opened = LMEval([str(task)]).open(setting("en", "sw"))
    keys = of_stages(opened.stages(Subject("sft", MODELS["sft"])), MODELS["sft"], {})
    assert RunDirectory(tmp_path / "out", keys).incomplete(keys) == ["lm_eval_mine_sw/sft"]
    again = measured(tmp_path / "out", LMEval([str(task)]), models=one).result()
    assert again.figures["sft"]["mine/acc"]["en"] == first.figures["sft"]["mine/acc"]["en"]


def test_other_questions_are_another_stage(task, tmp_path):
    def content(**settings):
        opened = LMEval([str(task)], **settings).open(setting("en"))
        (parts,) = opened.stages(Subject("sft", MODELS["sft"]))
        return parts.settings, parts.content

    before = content()
    assert content() == before
    assert content(num_fewshot=1) != before
    assert content(limit=3) != before
    assert content(batch_size=4) == before
    with (task.parent / "topics_en.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"question": "List three colours.", "choices": ["a", "b", "c", "d"], "answer": 0}')
    assert content() != before


def test_answers_without_a_model_have_no_stages(task):
    assert LMEval([str(task)]).open(setting("en")).stages(Subject("other")) == []


@pytest.mark.slow
def test_a_language_without_a_task_is_counted_and_said(task, tmp_path):
    opened = measured(tmp_path / "out", LMEval([str(task)], limit=2), ["en", "sw", "th"], {"sft": MODELS["sft"]})
    assert opened.skipped == {"th": {"no task of mine": 1}}
    result = opened.result()
    assert list(result.figures["sft"]["mine/acc"]) == ["mean", "en", "sw"]
    assert result.figures["sft"]["mine/documents"] == {"mean": 2, "en": 2, "sw": 2}
    assert "th: no task of mine; means are over the other languages." in result.notes


def test_a_task_of_no_one_language_stands_under_the_mean(tmp_path):
    file = str(EXAMPLE / "topics_de.yaml")
    opened = measured(tmp_path / "out", LMEval([file], limit=2), ["en", "sw"], {"sft": MODELS["sft"]})
    assert list(opened.result().figures["sft"]["topics_de/acc"]) == ["mean"]
    assert any(file in note for note in opened.result().notes)


def test_mistakes_are_refused(task, tmp_path):
    with pytest.raises(ConfigError, match="lm-eval has none of them in fr"):
        LMEval([str(task)]).open(setting("fr"))
    with pytest.raises(ConfigError, match=r"there is no file .*nowhere\.yaml"):
        LMEval([str(tmp_path / "nowhere.yaml")]).open(setting("en"))
    with pytest.raises(ValueError, match="tasks must not be empty"):
        LMEval([])
    with pytest.raises(ValueError, match="num_fewshot must be"):
        LMEval(["paper"], num_fewshot=-1)
    (tmp_path / "topics_en.jsonl").unlink()
    with pytest.raises(DataError, match=r"lm-eval cannot load .*mine_en\.yaml"):
        LMEval([str(task)]).open(setting("en"))


def test_lm_eval_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'icr\[benchmarks\]'"):
        LMEval(["paper"]).require()


def test_suites_by_language():
    tasks, missing = tasks_of(["paper", "belebele"], SUITES, ["es", "th"], lambda spec: True)
    assert tasks[0] == HarnessTask("arc", "es", "arc_es")
    assert HarnessTask("belebele", "th", "belebele_tha_Thai") in tasks
    assert missing == {"th": {f"no task of {name}": 1 for name in ("arc", "hellaswag", "mmlu", "truthfulqa")}}
    with pytest.raises(ConfigError, match=r"no task 'papers', .* Did you mean paper\?"):
        tasks_of(["papers"], SUITES, ["es"], lambda spec: False)


@pytest.mark.slow
def test_every_name_of_the_suites_is_a_task_of_lm_eval_and_no_language_is_forgotten():
    """The index is of the package itself: nothing comes from a hub."""
    harness = Harness(["arc_es"])
    named = {(b, code): name for suite in SUITES.values() for b, names in suite.items() for code, name in names.items()}
    assert [name for name in named.values() if not harness.exists(name)] == []
    patterns = {"arc": "arc_{}", "hellaswag": "hellaswag_{}", "mmlu": "m_mmlu_{}", "truthfulqa": "truthfulqa_{}_mc2"}
    patterns |= {"global_mmlu": "global_mmlu_{}", "global_mmlu_full": "global_mmlu_full_{}"}
    for benchmark, pattern in patterns.items():
        for code in ("es", "ru", "de", "fr", "bn", "sw", "th", "zh"):
            assert harness.exists(pattern.format(code)) == ((benchmark, code) in named)
    with pytest.raises(DataError, match=r"arc_es .* come from the Hugging Face hub"):
        harness.load("arc_es", Asked(None, None, False))


@pytest.mark.slow
def test_an_adapter_is_measured_as_the_model_that_it_makes(task, tmp_path):
    """Its figures are those of the merged model, and not those of the model that it lies on."""
    trained = Loader(adapter=Lora(r=4)).load_for_training(MODELS["sft"], seed=0)
    with torch.no_grad():
        for name, weight in trained.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    trained.save(tmp_path / "adapter")
    Loader().load_merged(str(tmp_path / "adapter")).save(tmp_path / "merged")
    models = {"sft": MODELS["sft"]} | {name: str(tmp_path / name) for name in ("adapter", "merged")}
    found = measured(tmp_path / "out", LMEval([str(task)]), ["en"], models).result().figures
    scores = {name: figures["mine/brier_score"]["en"] for name, figures in found.items()}
    assert scores["adapter"] == pytest.approx(scores["merged"], abs=1e-5)
    assert abs(scores["adapter"] - scores["sft"]) > 1e-3
