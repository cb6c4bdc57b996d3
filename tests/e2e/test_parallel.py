"""Parallel prompt files and any model folder: whole runs, and whether everything that goes in is accounted for."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from icr.rounds.gates import LanguageGate
from icr.rundir import open_run
from tests.e2e import tiny
from tests.e2e.conftest import CONTEXT, Finished, Program

NINE = ["en", "es", "ru", "de", "fr", "bn", "sw", "th", "zh"]
TOO_LONG = "longer than the context"
STEP = 8


def settings(pair: tuple[str, str], folder: str, *, n: int = 3) -> list[str]:
    """A run of a few seconds on prompt files."""
    return [
        "data=parallel",
        f"data.dir={folder}",
        f"model.path={pair[0]}",
        f"model.reference={pair[1]}",
        f"sampling.n={n}",
        "sampling.max_new_tokens=16",
        "reward.keep_truncated=true",
        "trainer.accelerator=cpu",
        "trainer.threads=1",
        f"trainer.global_batch_size={STEP}",
        "trainer.micro_batch_size=4",
        "optim.lr=1e-3",
    ]


def read_prompts(folder: str, language: str) -> dict[str, str]:
    """Prompts of a file by id, read as simply as can be."""
    rows = map(json.loads, (Path(folder) / f"{language}.jsonl").read_text(encoding="utf-8").splitlines())
    return {str(row["instruction_id"]): row["instruction"] for row in rows}


def check_round(run: Finished, t: int, given: dict[str, int], n: int) -> None:
    """Prompts, responses, rewards, pairs and skips of a round add up, in the summary and in the tables.

    Args:
        given: prompts of each language that were in the files.
        n: responses a prompt.
    """
    summary, counts = run.summary(), run.summary()["rounds"][t]
    tables = {name: run.table(f"round_{t}/{name}") for name in ("responses", "rewards", "pairs")}
    assert counts["round"] == t
    for language, total in given.items():
        own = {name: table[table.language == language] for name, table in tables.items()}
        prompts = counts["prompts"][language]
        assert prompts + sum(summary["skipped_prompts"].get(language, {}).values()) == total
        assert prompts == own["responses"].id.nunique() == own["rewards"].id.nunique()
        assert counts["responses"][language] == prompts * n == len(own["responses"]) == len(own["rewards"])
        assert counts["pairs"].get(language, 0) == len(own["pairs"]) == own["pairs"].id.nunique()
        assert len(own["pairs"]) + sum(counts["skipped"][language].values()) == prompts
    assert sum(map(len, (tables["responses"],))) == sum(counts["responses"].values())
    check_joins(tables)


def check_joins(tables: dict[str, pd.DataFrame]) -> None:
    """Rows of the three tables belong to each other by id, language and sample."""
    key = ["id", "language", "k"]
    assert not tables["responses"].duplicated(key).any()
    assert tables["responses"][key].equals(tables["rewards"][key])
    responses, rewards = (tables[name].set_index(key) for name in ("responses", "rewards"))
    for pair in tables["pairs"].itertuples():
        assert list(pair.chosen_ids) != list(pair.rejected_ids)
        for side in ("chosen", "rejected"):
            sample = (pair.id, pair.language, getattr(pair, f"{side}_k"))
            assert list(getattr(pair, f"{side}_ids")) == list(responses.response_ids[sample])
            assert getattr(pair, f"{side}_reward") == rewards.reward[sample]
            assert getattr(pair, side)[0]["content"] == responses.text[sample]
            assert pair.prompt[0]["content"] == responses.prompt[sample]


def check_training(run: Finished, t: int) -> None:
    """Every step is in `metrics.csv`, finite, and the model loads as any other."""
    pairs = len(run.table(f"round_{t}/pairs"))
    metrics = pd.read_csv(run.directory / "metrics.csv")
    own = metrics[metrics["round"] == t]
    assert own.step.tolist() == list(range(math.ceil(pairs / STEP)))
    assert own[["loss", "nll", "logps/chosen", "lr"]].notna().all(axis=None)
    model = AutoModelForCausalLM.from_pretrained(run.directory / f"round_{t}/model")
    tokenizer = AutoTokenizer.from_pretrained(run.directory / f"round_{t}/model")
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.chat_template


def check_page(run: Finished) -> None:
    """The report is there, and says what was run."""
    page = (run.directory / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!") or "<html" in page
    assert len(page) > 10_000
    assert "report.html" in run.output


@pytest.mark.parametrize("loss", ["dpo", "kto"])
def test_real_prompts_in_nine_languages(program: Program, byte_pair, shared_prompts: str, tmp_path, loss: str):
    count = 8
    arguments = [
        *settings(byte_pair, shared_prompts),
        "langs=nine",
        f"data.prompts_per_language={count}",
        f"loss={loss}",
    ]
    run = program.ok(tmp_path / "run", arguments)
    summary = run.summary()
    assert summary["languages"] == NINE
    dropped = {language: reasons.get(TOO_LONG, 0) for language, reasons in summary["skipped_prompts"].items()}
    assert 0 < sum(dropped.values()) < count * len(NINE) / 2
    for t in range(2):
        check_round(run, t, dict.fromkeys(NINE, count), 3)
        check_training(run, t)
    check_page(run)
    check_prompts_are_the_files(run, shared_prompts, byte_pair[0], dropped)
    if loss == "kto":
        check_partners(run.table("round_1/pairs"))


def check_prompts_are_the_files(run: Finished, folder: str, model: str, dropped: dict[str, int]) -> None:
    """Each response stands beside the text of its id, in its language and in English; what was dropped was too long."""
    responses = run.table("round_0/responses")
    english = read_prompts(folder, "en")
    tokenizer = AutoTokenizer.from_pretrained(model)
    for language in NINE:
        texts = read_prompts(folder, language)
        own = responses[responses.language == language]
        for row in own.itertuples():
            assert row.prompt == texts[row.id]
            assert row.english == english[row.id]
            assert len(row.prompt_ids) + 16 <= CONTEXT
            assert tokenizer.decode(row.prompt_ids) == f"<|user|>{texts[row.id]}<|end|><|assistant|>"
        left = [id for id in list(english)[:8] if id not in set(own.id)]
        assert len(left) == dropped.get(language, 0)
        longest = [max(len(texts[id].encode()), len(english[id].encode()) + 145) for id in left]
        assert all(length > CONTEXT - 40 for length in longest)


def check_partners(pairs: pd.DataFrame) -> None:
    """KTO's mismatched responses come from another prompt of the same language."""
    assert (pairs.partner != "").all()
    for pair in pairs.itertuples():
        language, id, *_ = pair.partner.split("/")
        assert language == pair.language
        assert id != pair.id


PROMPTS = {
    "en": ["Name a colour.", "Count to five.", "x" * 2100, "What is rain?", "Say hello.", "Why?", "Name a bird."],
    "sw": ["Taja rangi.", "Hesabu hadi tano.", "y", "Mvua ni nini?", "Sema habari.", "Kwa nini?", "Taja ndege."],
    "th": ["บอกชื่อสี", "นับถึงห้า", "z", "ฝนคืออะไร", "พูดสวัสดี", "ทำไม" * 180, "บอกชื่อนก"],
}


@pytest.fixture(scope="module")
def own_prompts(tmp_path_factory) -> str:
    """Prompt files of three languages: the third prompt is too long in English, the sixth in Thai."""
    return tiny.write_prompts(tmp_path_factory.mktemp("prompts") / "files", PROMPTS)


@pytest.mark.parametrize("loss", ["dpo", "kto"])
def test_prompts_that_the_test_writes(program: Program, byte_pair, own_prompts: str, tmp_path, loss: str):
    arguments = [*settings(byte_pair, own_prompts), "langs.codes=[en,sw,th]", f"loss={loss}"]
    run = program.ok(tmp_path / "run", arguments)
    # An English prompt that does not fit cannot be the reward prompt of any language.
    expected = {"en": {TOO_LONG: 1}, "sw": {TOO_LONG: 1}, "th": {TOO_LONG: 2}}
    assert run.summary()["skipped_prompts"] == expected
    for t in range(2):
        check_round(run, t, dict.fromkeys(PROMPTS, 7), 3)
        check_training(run, t)
    check_page(run)
    if loss == "kto":
        check_partners(run.table("round_0/pairs"))


def test_missing_ids_are_dropped_and_counted(program: Program, byte_pair, tmp_path):
    folder = tiny.write_prompts(tmp_path / "files", PROMPTS)
    lines = (tmp_path / "files/sw.jsonl").read_text().splitlines()
    (tmp_path / "files/sw.jsonl").write_text("\n".join(lines[2:]) + "\n")
    arguments = [*settings(byte_pair, folder), "langs.codes=[en,sw]", "iterations=1"]
    refused = program(tmp_path / "refused", arguments)
    assert refused.status == 2
    assert "'id-0'" in refused.output
    run = program.ok(tmp_path / "run", [*arguments, "data.on_missing=drop"])
    assert run.summary()["skipped_prompts"]["en"]["id missing in some language"] == 2
    check_round(run, 0, {"en": 7, "sw": 5}, 3)


@pytest.mark.parametrize(
    "overrides",
    [
        ["reward_prompt=multilingual"],
        ["reward_prompt=translate"],
        ["reward_pair=previous"],
        ["reward_pair=current_policy"],
        ["length_control=off"],
        ["length_control=characters"],
        ["length_control=bytes"],
        ["pairing=random"],
        ["loss=nll", "pairing=random"],
        ["loss=ipo"],
        ["training_reference=policy"],
        ["training_reference=reference"],
        ["reward.keep_truncated=true", "reward.token_clip=0"],
    ],
    ids=" ".join,
)
def test_ablations(program: Program, byte_pair, own_prompts: str, tmp_path, overrides: list[str]):
    run = program.ok(tmp_path / "run", [*settings(byte_pair, own_prompts), "langs.codes=[en,sw]", *overrides])
    for t in range(2):
        check_round(run, t, {"en": 7, "sw": 7}, 3)
        check_training(run, t)
        check_ablation(run, t, overrides[0])
    check_page(run)


def test_the_language_gate_refuses_and_counts(program: Program, tmp_path):
    """Lists of single words are hard to tell apart, so that a gate which believes anything refuses some."""
    codes = ["en", "es", "fr", "sw"]
    arguments = [f"langs.codes=[{','.join(codes)}]", "data.prompts_per_language=8", "sampling.n=4", "iterations=1"]
    run = program.ok(tmp_path / "run", [*arguments, "evaluation=none", "gate=language", "gate.confidence=0.51"])
    check_round(run, 0, dict.fromkeys(codes, 8), 4)
    gate = LanguageGate(codes, confidence=0.51)
    responses, pairs = run.table("round_0/responses"), run.table("round_0/pairs")
    stays = {(r.id, r.language, r.k): gate(r.language, r.text) for r in responses.itertuples()}
    assert not all(stays.values())
    assert len(pairs)
    for pair in pairs.itertuples():
        assert stays[pair.id, pair.language, pair.chosen_k]
        assert stays[pair.id, pair.language, pair.rejected_k]


def check_ablation(run: Finished, t: int, override: str) -> None:
    """The tables show that the choice was made."""
    rewards, pairs = run.table(f"round_{t}/rewards"), run.table(f"round_{t}/pairs")
    control = json.loads((run.directory / f"round_{t}/length_control.json").read_text())
    key = run.stages()[f"round_{t}/rewards"]["key"]
    inputs = key["upstream"]
    if override.startswith("reward_prompt="):
        assert key["settings"]["reward_prompt"]["class"] != "CrosslingualPrompt"
    if override == "length_control=off":
        assert all(result["alpha"] == 0 for result in control.values())
    if override.startswith("length_control="):
        unit = override.removeprefix("length_control=").replace("off", "tokens")
        assert all(result["unit"] == unit for result in control.values())
    if override == "training_reference=reference":
        # Another model than the one that starts the round.
        fingerprints = [run.stages()[f"round_{r}/pairs"]["key"]["upstream"]["training_reference"] for r in (0, 1)]
        assert fingerprints[0] == fingerprints[1] == inputs["reward_reference"]
    if override == "training_reference=policy":
        assert run.stages()[f"round_{t}/pairs"]["key"]["upstream"]["training_reference"] == inputs["reward_policy"]
    if override == "reward.keep_truncated=true":
        assert (rewards.reward <= 0).all()
    if override == "loss=nll":
        assert (pairs.reference_chosen_logp == 0).all()


def test_the_reward_pair_moves_along(program: Program, byte_pair, own_prompts: str, tmp_path):
    """Which models score which round, by content."""
    base = [*settings(byte_pair, own_prompts), "langs.codes=[en,sw]"]
    seen = {}
    for name in ("initial", "current_policy", "previous"):
        run = program.ok(tmp_path / name, [*base, f"reward_pair={name}"])
        inputs = [run.stages()[f"round_{t}/rewards"]["key"]["upstream"] for t in (0, 1)]
        seen[name] = [(i["reward_policy"], i["reward_reference"]) for i in inputs]
        start = run.stages()["round_1/responses"]["key"]["upstream"]["policy"]
        assert start not in seen["initial"][0]
        expected = {
            "initial": seen["initial"][0],
            "current_policy": (start, seen["initial"][0][1]),
            "previous": (start, seen["initial"][0][0]),
        }[name]
        assert seen[name] == [seen["initial"][0], expected]


def pocket(pair: tuple[str, str]) -> list[str]:
    """The embedded world, judged, with random models."""
    return [
        "data=pocket",
        "data.prompts_per_language=4",
        "langs.codes=[en,sw]",
        f"model.path={pair[0]}",
        f"model.reference={pair[1]}",
        "sampling.n=3",
        "sampling.max_new_tokens=12",
        "reward.keep_truncated=true",
        f"trainer.global_batch_size={STEP}",
    ]


def test_controls_stand_beside_the_result(program: Program, pocket_pair, tmp_path):
    few = "evaluation.prompts.prompts_per_language=3"
    run = program.ok(tmp_path / "run", [*pocket(pocket_pair), "controls=standard", few])
    models = open_run(run.directory).summary.models
    controls = [f"control: {name} M{t}" for name in ("nll random", "random labels") for t in (0, 1)]
    assert [model.label for model in models] == ["sft", "dpo_en", "M0", "M1", *controls]
    assert [(m.kind, m.round) for m in models] == [
        *[("start", None)] * 2, *(("round", t) for t in (0, 1)), *(("control", t) for t in (0, 1, 0, 1))
    ]  # fmt: skip
    for model in models:
        assert {"win_rate", "lc_win_rate", "judge_score"} <= set(model.figures)
        assert set(model.figures["win_rate"]) == {"en", "sw", "mean"}
    assert set(run.summary()["reward_accuracy"]) == {"crosslingual", "multilingual"}
    check_round(run, 0, {"en": 4, "sw": 4}, 3)
    for name in ("nll_random", "random_labels"):
        control = Finished(0, "", run.directory / "controls" / name)
        assert set(control.table("round_1/pairs").language) == {"en", "sw"}
        assert (control.directory / "round_1/model/model.safetensors").exists()
        # What the main run has measured is not measured again.
        assert {path.stem for path in (control.directory / "evaluation").iterdir()} == {"M0", "M1"}


def test_a_lexicon_translates(program: Program, pocket_pair, tmp_path):
    run = program.ok(tmp_path / "run", [*pocket(pocket_pair), "reward_prompt=translate_lexicon", "evaluation=none"])
    chosen = run.stages()["round_0/rewards"]["key"]["settings"]
    assert chosen["reward_prompt"]["translator"]["class"] == "LexiconTranslator"
    check_round(run, 1, {"en": 4, "sw": 4}, 3)


def test_a_sweep_has_a_directory_for_each_job(program: Program, byte_pair, own_prompts: str, tmp_path):
    sweep = ["loss.alpha=0,1", "data.prompts_per_language=2,3"]
    arguments = ["-m", *settings(byte_pair, own_prompts), "langs.codes=[en,sw]", "iterations=1", *sweep]
    program.ok(tmp_path / "sweep", arguments)
    summaries = sorted((tmp_path / "sweep").rglob("summary.json"))
    assert len(summaries) == 4
    seen = set()
    for path in summaries:
        run = Finished(0, "", path.parent)
        given = run.summary()["rounds"][0]["prompts"]["en"] + run.summary()["skipped_prompts"].get("en", {}).get(
            TOO_LONG, 0
        )
        check_round(run, 0, {"en": given, "sw": given}, 3)
        alpha = run.stages()["round_0/model"]["key"]["settings"]["loss"]["alpha"]
        seen.add((float(alpha), given))
    assert seen == {(alpha, count) for alpha in (0.0, 1.0) for count in (2, 3)}
