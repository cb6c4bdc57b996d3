"""The stages before ICR: SFT on demonstrations, and English preferences from a file or from judged own samples."""

from __future__ import annotations

import json

import torch
from transformers import AutoModelForCausalLM

from tests.e2e.conftest import CONTEXT, Program

FAST = ["trainer.accelerator=cpu", "trainer.global_batch_size=2", "optim.lr=1e-3", "model.loader.dtype=float32"]


def lines(path, rows) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_demonstrations_then_english_preferences_from_files(program: Program, byte_pair, tmp_path):
    demonstrations = [
        {"prompt": f"Say {n}.", "response": f"{n}!", "language": "en" if n % 2 else "sw"} for n in range(6)
    ] + [{"prompt": "x" * CONTEXT, "response": "too long", "language": "sw"}]
    file = lines(tmp_path / "demonstrations.jsonl", demonstrations)
    arguments = ["stage=sft", "data=demonstrations", f"data.file={file}", f"model.path={byte_pair[0]}", *FAST]
    sft = program.ok(tmp_path / "sft", [*arguments, "langs.codes=[en,sw]"])
    assert sft.summary()["skipped_prompts"] == {"sw": {"longer than the context": 1}}
    metrics = (sft.directory / "metrics.csv").read_text().splitlines()
    assert len(metrics) == 1 + 3
    assert "rewards/margins" not in metrics[0]

    preferences = [{"prompt": f"Say {n}.", "chosen": f"{n}!", "rejected": "No."} for n in range(4)]
    file = lines(tmp_path / "preferences.jsonl", preferences)
    start = sft.directory / "round_0/model"
    arguments = ["stage=english_dpo", "data=preferences", f"data.file={file}", f"model.path={start}", *FAST]
    for loss in ("dpo", "kto"):
        run = program.ok(tmp_path / loss, [*arguments, f"loss={loss}"])
        pairs = run.table("round_0/pairs")
        assert pairs.chosen.map(lambda messages: messages[0]["content"]).tolist() == [f"{n}!" for n in range(4)]
        assert (pairs.reference_chosen_logp < 0).all()
        before, after = (
            AutoModelForCausalLM.from_pretrained(folder) for folder in (start, run.directory / "round_0/model")
        )
        assert any(not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def test_the_embedded_worlds_models_are_made_by_the_same_stages(program: Program, tmp_path):
    few = ["evaluation.prompts.prompts_per_language=2"]
    sft = program.ok(tmp_path / "sft", ["experiment=pocket_sft", "trainer.max_steps=3", *few])
    assert [(model["name"], model["kind"]) for model in sft.summary()["models"]] == [("sft", "round")]
    start = f"model.path={sft.directory / 'round_0/model'}"
    short = ["data.prompts_per_language=3", "sampling.n=4", "sampling.max_new_tokens=8", "reward.keep_truncated=true"]
    run = program.ok(tmp_path / "dpo_en", ["experiment=pocket_english_dpo", start, *short, *few])
    assert [(m["name"], m["kind"]) for m in run.summary()["models"]] == [("sft", "start"), ("dpo_en", "round")]
    (entry,) = run.summary()["rounds"]
    # Disjoint pairs: two of four samples each.
    assert entry["pairs"]["en"] + sum(entry["skipped"]["en"].values()) == 6
    rewards = run.table("round_0/rewards")
    assert rewards.policy_logp.isna().all()
    assert set(run.table("round_0/responses").language) == {"en"}
