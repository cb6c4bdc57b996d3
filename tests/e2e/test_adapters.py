"""Adapters, 8-bit optimisers and what saves memory, through whole runs."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from icr.logps import score
from tests.e2e import tiny
from tests.e2e.conftest import Finished, Program
from tests.e2e.test_resume import (
    STEPS,
    TRAINING,
    assert_same_result,
    kill_and_go_on,
    read_metrics,
    settings,
    weights_differ,
)

LORA = ["adapter=lora", "adapter.r=4", "optim.lr=1e-3"]
SMALL = ["data.prompts_per_language=8"]
"""32 pairs a round: two steps."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[str, str]:
    """Policy and reference, wide enough for bitsandbytes' blocks."""
    folder = tmp_path_factory.mktemp("wide")
    return tuple(tiny.byte_llama(folder / str(seed), seed, context=2048, hidden=64) for seed in (1, 2))


@pytest.fixture(scope="module")
def lora(program: Program, pair, tmp_path_factory) -> Finished:
    """A run with adapters."""
    return program.ok(tmp_path_factory.mktemp("lora") / "run", [*settings(pair), *LORA, "adapter.merge=true"])


def assert_two_rounds(run: Finished, file: str, steps: int) -> None:
    """Both rounds were trained, each from the one before, and started where its reference is."""
    models = [run.directory / f"round_{t}/model" for t in (0, 1)]
    assert all((folder / file).is_file() for folder in models)
    assert weights_differ(*models) > 1e-4
    metrics = read_metrics(run)
    for _, rows in metrics.groupby("round"):
        assert len(rows) == steps
        assert rows[["rewards/chosen", "rewards/rejected"]].iloc[0].abs().max() < 1e-6
        assert rows["rewards/chosen"].iloc[-1] != pytest.approx(0, abs=1e-5)
    assert "Traceback" not in run.output
    assert "kernels" not in run.output
    assert "Warning" not in run.output


CHOICES = {
    "qlora": ["adapter=qlora", "optim.lr=1e-3"],
    "qlora everything": ["adapter=qlora", "adapter.quantisation.everything=true", "optim.lr=1e-3"],
    "8-bit": ["optim=adamw8bit", "optim.lr=1e-3"],
    "paged 8-bit": ["optim=paged_adamw8bit", "optim.lr=1e-3", "adapter=lora"],
}


@pytest.mark.parametrize("choice", CHOICES)
def test_two_rounds(program: Program, pair, tmp_path, choice: str):
    run = program.ok(tmp_path / "run", [*settings(pair), *SMALL, *CHOICES[choice]])
    file = "adapter_model.safetensors" if "lora" in " ".join(CHOICES[choice]) else "model.safetensors"
    assert_two_rounds(run, file, steps=2)


def test_two_rounds_of_lora_with_merged_models(lora: Finished, pair):
    assert_two_rounds(lora, "adapter_model.safetensors", STEPS)
    sequences = [(list(range(40, 60)), [70, 71, 256])]
    for t in (0, 1):
        folder = lora.directory / f"round_{t}"
        merged = AutoModelForCausalLM.from_pretrained(folder / "merged")
        apart = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(pair[0]), folder / "model")
        ours = score(merged, sequences, tokens_per_batch=100)[0]
        theirs = score(apart.get_base_model(), sequences, tokens_per_batch=100)[0]
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert not list(folder.rglob("checkpoints"))


def test_activations_that_are_recomputed_train_the_same_model(program: Program, pair, lora: Finished, tmp_path):
    run = program.ok(tmp_path / "run", [*settings(pair), *LORA, "trainer.gradient_checkpointing=true"])
    for t in (0, 1):
        model = f"round_{t}/model"
        assert weights_differ(run.directory / model, lora.directory / model) < 1e-5


def test_killed_in_the_middle_of_an_adapters_training(program: Program, pair, lora: Finished, tmp_path):
    """In the second round, after its first checkpoint, which holds nothing but the adapter."""
    directory, arguments = tmp_path / "run", [*settings(pair), *LORA, "adapter.merge=true"]
    call = STEPS * 2 + 3 * 2
    killed = program(directory, arguments, {"function": TRAINING, "call": call, "when": "after"})
    assert killed.status == -signal.SIGKILL, killed.output
    (checkpoint,) = (directory / "round_1/checkpoints").glob("*.ckpt")
    held = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert held
    assert all(".lora_" in name for name in held)
    assert_same_result(program.ok(directory, arguments), lora)


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["qlora", "8-bit", "paged 8-bit"])
def test_killed_with_8_and_4_bits(program: Program, pair, tmp_path, choice: str):
    arguments = [*settings(pair), *CHOICES[choice]]
    undisturbed = program.ok(tmp_path / "undisturbed", arguments)
    kill_and_go_on(program, tmp_path / "killed", arguments, (TRAINING, STEPS * 2 + 3 * 2, "after"), undisturbed)


def test_the_starting_model_as_reference_is_the_adapter_left_out(program: Program, pair, tmp_path):
    """In the second round, where policy and base differ."""
    run = program.ok(tmp_path / "run", [*settings(pair), *SMALL, *LORA, "training_reference=policy"])
    pairs = run.table("round_1/pairs")
    base = AutoModelForCausalLM.from_pretrained(pair[0])
    sequences = [(row.prompt_ids.tolist(), row.chosen_ids.tolist()) for row in pairs.itertuples()]
    expected = [values.sum() for values in score(base, sequences, tokens_per_batch=2000)]
    np.testing.assert_allclose(pairs.reference_chosen_logp, expected, atol=1e-4)
    first = read_metrics(run).query("round == 1").iloc[0]
    assert abs(first["rewards/chosen"]) > 1e-4


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param([], id="plain"),
        pytest.param(LORA, id="lora", marks=pytest.mark.slow),
        pytest.param([*LORA, "reward_pair=previous"], id="lora previous"),
    ],
)
def test_one_model_at_a_time_gives_the_same_rewards(program: Program, pair, tmp_path, extra: list[str]):
    both, one = (
        program.ok(tmp_path / residency, [*settings(pair), *SMALL, *extra, f"reward_pair.residency={residency}"])
        for residency in ("both", "one")
    )
    for t in (0, 1):
        ours, theirs = one.table(f"round_{t}/rewards"), both.table(f"round_{t}/rewards")
        assert ours.drop(columns=["reward", "policy_logp", "reference_logp"]).equals(
            theirs.drop(columns=["reward", "policy_logp", "reference_logp"])
        )
        np.testing.assert_allclose(ours.reward, theirs.reward, rtol=0, atol=1e-5)
        assert ours.reward.abs().max() > 0.01


def test_a_run_goes_on_with_an_adapter_that_another_made(program: Program, pair, lora: Finished, tmp_path):
    """And with `adapter=none` it trains all weights, the adapter's among them."""
    start = str(lora.directory / "round_1/model")
    arguments = [*settings((start, pair[1])), *SMALL, "iterations=1"]
    onward = program.ok(tmp_path / "onward", [*arguments, *LORA])
    assert 0 < weights_differ(onward.directory / "round_0/model", Path(start)) < 1
    whole = program.ok(tmp_path / "whole", arguments)
    assert (whole.directory / "round_0/model/config.json").is_file()
    merged = lora.directory / "round_1/merged"
    assert 0 < weights_differ(whole.directory / "round_0/model", merged) < 0.1


def test_what_stops_an_adapters_run(program: Program, pair, tmp_path):
    unknown = program(tmp_path / "unknown", [*settings(pair), *LORA, "adapter.target_modules=[q_prox]"])
    assert unknown.status == 2
    assert "adapter.target_modules: Target modules {'q_prox'} not found in the base model" in unknown.output
    assert "Traceback" not in unknown.output
