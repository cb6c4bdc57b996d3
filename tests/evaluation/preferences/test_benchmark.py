"""The benchmark `preferences` on shipped models, against log-probs by transformers itself and the diagnosis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from icr.data import CrosslingualPrompt, MultilingualPrompt, TranslatePrompt
from icr.errors import ConfigError, DataError, ModelError, RunError
from icr.evaluation import Bench, Preferences, Setting, Subject
from icr.evaluation.preferences import logps
from icr.keys import of_stages
from icr.models import Loader
from icr.pocket.assets import folder
from icr.rundir import RunDirectory
from icr.sampling import TransformersSampler
from tests.doctor.conftest import *  # noqa: F403  The fixtures of the doctor.
from tests.labelled_rows import row, write, write_labelled

MODELS = {"sft": str(folder("sft")), "dpo_en": str(folder("dpo_en"))}
TEMPLATE = "Answer in {language}.\n\n{instruction}"


@pytest.fixture
def given(tmp_path) -> str:
    """Twelve rows of as many prompts, in two languages."""
    return str(write_labelled(tmp_path / "labelled", ["en", "sw"], 12))


def benchmark(given, **settings) -> Preferences:
    return Preferences(
        given, **{"base": MODELS["sft"], "prompt": MultilingualPrompt(), "tokens_per_batch": 512, **settings}
    )


def setting(models=MODELS, languages=("en", "sw")) -> Setting:
    return Setting(languages, TransformersSampler(), lambda given, longest: given, Loader(), list(models.values()))


def keys_of(opened, models=MODELS, **settings):
    found = {}
    for name, path in models.items():
        found |= of_stages(opened.stages(Subject(name, path)), path, settings)
    return found


def measured(where, preferences, models=MODELS, languages=("en", "sw"), seed=0):
    """As `icr evaluate` does it."""
    opened = preferences.open(setting(models, languages))
    bench = Bench(RunDirectory(where, keys_of(opened, models, seed=seed)), Loader(), "cpu", seed)
    for name, path in models.items():
        opened.measure(Subject(name, path), bench)
    return opened


def by_transformers(path: str, prompt: str, answer: str, n: int) -> tuple[float, float]:
    """Log-probs of an answer and of its first `n` tokens, of one plain pass over one sequence."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    turns = [{"role": "user", "content": prompt}]
    start = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    ids = [*tokenizer.encode(answer, add_special_tokens=False), tokenizer.eos_token_id]
    with torch.no_grad():
        logits = model(torch.tensor([[*start, *ids]])).logits[0, len(start) - 1 : -1].double()
    values = torch.log_softmax(logits, -1)[range(len(ids)), ids]
    return float(values.sum()), float(values[:n].sum())


def test_log_probs_are_those_of_transformers(tmp_path, given):
    opened = measured(tmp_path / "out", benchmark(given))
    for name, path in MODELS.items():
        table = pq.read_table(tmp_path / "out" / "preferences" / f"{name}.parquet").to_pylist()
        assert len(table) == 24
        for stored, labelled in list(zip(table, opened.rows, strict=True))[::5]:
            n = stored["head_tokens"]
            assert n == min(stored["chosen_tokens"], stored["rejected_tokens"]) - 1
            for side in ("chosen", "rejected"):
                whole, head = by_transformers(path, labelled.prompt.text, getattr(labelled, side), n)
                assert stored[f"{side}_logp"] == pytest.approx(whole, abs=1e-3)
                assert stored[f"{side}_head_logp"] == pytest.approx(head, abs=1e-3)


def test_accuracy_and_interval_are_those_of_the_diagnosis(tmp_path, examine):
    """Of the same pair, rows and prompt: the benchmark measures the policy as the diagnosis measures its reward."""
    labelled = write_labelled(tmp_path / "labelled", ["sw"], 40)
    examined = examine("diagnose", f"doctor.labelled={labelled}", "doctor.own_prompts=0", "langs.codes=[en,sw]",
                       "reward_prompt=multilingual", "diagnosis.reward_prompts={}")  # fmt: skip
    found = examined.results["languages"]["sw"]["labelled"]
    ours = measured(tmp_path / "out", benchmark(str(labelled)), languages=["en", "sw"]).result().figures["dpo_en"]
    for figure, part in {"preference_accuracy": "equal", "preference_accuracy_given": "given"}.items():
        theirs = found[part]["by_prompt"]["multilingual"]["reward"]
        got = [ours[name]["sw"] for name in (figure, f"{figure}_low", f"{figure}_high")]
        assert got == pytest.approx([100 * theirs[name] for name in ("value", "low", "high")])
    baselines = found["equal"]["by_prompt"]["multilingual"]["baselines"]
    assert ours["chosen_likelier"]["sw"] == pytest.approx(100 * baselines["likelier under the policy"]["value"])
    assert ours["base_less_likely"]["sw"] == pytest.approx(100 * baselines["less likely under the reference"]["value"])


def test_the_base_is_scored_once_and_is_a_model_like_others(tmp_path, given, monkeypatch):
    scored = []
    plain = logps.score
    monkeypatch.setattr(logps, "score", lambda *a, **k: scored.append(len(a[1])) or plain(*a, **k))
    opened = measured(tmp_path / "out", benchmark(given))
    assert sum(scored) == 2 * 2 * 24  # two answers, two models: the base and `sft` are one
    base, sft = (
        pq.read_table(tmp_path / "out" / f"{name}.parquet").to_pylist()
        for name in ("preferences_base/logps", "preferences/sft")
    )
    assert base == sft
    result = opened.result()
    assert np.isnan(result.figures["sft"]["preference_accuracy"]["mean"])
    assert result.figures["dpo_en"]["preference_accuracy"]["mean"] > 50
    assert "sft: the base itself, which has no log-ratio to itself." in result.notes
    # Asked again, all is read back.
    scored.clear()
    assert measured(tmp_path / "out", benchmark(given)).result().figures["dpo_en"] == result.figures["dpo_en"]
    assert not scored


def test_a_killed_scoring_goes_on_after_its_last_part(tmp_path, given, monkeypatch):
    monkeypatch.setattr(logps, "PART", 5)
    plain, calls = logps.score, []

    def dies(model, sequences, **options):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(sequences))
        return plain(model, sequences, **options)

    models = {"dpo_en": MODELS["dpo_en"]}
    monkeypatch.setattr(logps, "score", dies)
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path / "out", benchmark(given), models)
    assert len(list((tmp_path / "out" / "preferences_base" / "logps.parts").glob("*.parquet"))) == 2
    monkeypatch.setattr(logps, "score", lambda *a, **k: calls.append(len(a[1])) or plain(*a, **k))
    found = measured(tmp_path / "out", benchmark(given), models).result()
    assert sum(calls) == 2 * 2 * 24
    assert found.figures == measured(tmp_path / "whole", benchmark(given), models).result().figures


def test_two_answers_that_begin_alike_tie_in_any_precision(given, monkeypatch):
    """Two passes over the same tokens may differ in the last bit."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(
        logps, "score", lambda model, sequences, **options: [rng.normal(size=len(i)) for _, i in sequences]
    )
    rows = benchmark(given).open(setting()).rows[:1]
    same = replace(rows[0], chosen="abc, abc", rejected="abc, abc, and more")
    model = Loader().load(MODELS["sft"])
    (found,) = logps.Scoring([same], MultilingualPrompt(), 512).logps([same], model, print)
    chosen, rejected = (model.renderer.response_ids(text)[: found.head_tokens] for text in (same.chosen, same.rejected))
    assert chosen == rejected
    assert found.chosen_head_logp == found.rejected_head_logp
    assert found.chosen_logp != found.rejected_logp


def test_a_reward_prompt_is_what_answers_are_scored_under(tmp_path, given):
    prompt = CrosslingualPrompt(TEMPLATE, {"sw": "Swahili"})
    opened = measured(tmp_path / "out", benchmark(given, prompt=prompt))
    n = next(n for n, labelled in enumerate(opened.rows) if labelled.prompt.language == "sw")
    stored, labelled = opened.logps["dpo_en"][n], opened.rows[n]
    text = f"Answer in Swahili.\n\n{labelled.prompt.english}"
    whole, _ = by_transformers(MODELS["dpo_en"], text, labelled.chosen, 1)
    assert stored.chosen_logp == pytest.approx(whole, abs=1e-3)


def test_keys_have_what_log_probs_depend_on_and_nothing_else(tmp_path, given):
    def keys(folder=given, seed=0, **settings):
        return keys_of(benchmark(folder, **settings).open(setting()), seed=seed)

    before = keys()
    assert list(before) == ["preferences_base/logps", "preferences/sft", "preferences/dpo_en"]
    assert keys(tokens_per_batch=64) == keys(seed=7) == before
    assert keys(write_labelled(tmp_path / "same", ["en", "sw"], 12)) == before

    def changed(after):
        return [stage for stage in before if before[stage] != after[stage]]

    assert changed(keys(rows=3)) == list(before)
    assert changed(keys(prompt=CrosslingualPrompt(TEMPLATE, {"sw": "Swahili"}))) == list(before)
    # A model's own log-probs are the same, whatever they are measured against.
    other = keys(base=MODELS["dpo_en"])
    assert changed(other) == list(before)
    third = {"third": MODELS["dpo_en"]}
    assert keys_of(benchmark(given).open(setting()), third)["preferences/third"] == before["preferences/dpo_en"]


def test_what_is_left_out_is_said(tmp_path):
    rows = [row(1, "Taja mto."), row(2, "Taja mto.", chosen="bad"), row(3, "x " * 4000)]
    opened = benchmark(str(write(tmp_path, sw=rows))).open(setting(languages=["en", "sw"]))
    assert len(opened.rows) == 1
    notes = opened.result().notes
    assert "No labelled preferences in en." in notes
    assert any("left out in sw: chosen equals rejected: 1, longer than the context: 1" in note for note in notes)


def test_models_whose_tokens_differ_are_refused(tmp_path, given, loaded, shared_model):
    other = loaded(shared_model())
    other.save(tmp_path / "other")
    with pytest.raises(ConfigError, match="make other tokens of prompt"):
        benchmark(given).open(setting({"other": str(tmp_path / "other")}))


def test_a_log_prob_that_is_not_finite_names_its_row(tmp_path, given):
    model = Loader().load(MODELS["dpo_en"])
    model.model.get_output_embeddings().weight.data.fill_(float("nan"))
    opened = benchmark(given).open(setting())
    with pytest.raises(RunError, match=f"labelled answers to prompt {opened.rows[0].prompt.id!r} in 'en'"):
        logps.Scoring(opened.rows, MultilingualPrompt(), 512).logps(opened.rows[:1], model, print)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"base": None}, ConfigError, "benchmark.base is missing"),
        ({"base": "nowhere/at/all"}, ModelError, "The model folder nowhere/at/all does not exist"),
        ({"labelled": "nowhere"}, DataError, "benchmark.labelled: the folder nowhere does not exist"),
        ({"languages": ["th"]}, DataError, "benchmark.labelled: .* has no <lang>.jsonl for any of th"),
    ],
)
def test_bad_input_is_a_sentence_before_any_model_is_loaded(given, settings, error, words, monkeypatch):
    monkeypatch.setattr(Loader, "load", None)
    languages = settings.pop("languages", ["en"])
    preferences = benchmark(settings.pop("labelled", given), **settings)
    with pytest.raises(error, match=words):
        preferences.require() or preferences.open(setting(languages=languages))


def test_no_row_that_can_be_used(tmp_path):
    with pytest.raises(DataError, match="can be used: sw: 1 chosen equals rejected"):
        benchmark(str(write(tmp_path, sw=[row(1, "a", chosen="bad")]))).open(setting(languages=["sw"]))


def test_a_prompt_that_translates_answers_is_refused(given):
    with pytest.raises(ValueError, match="prompt must leave answers as they are"):
        benchmark(given, prompt=TranslatePrompt(None))
