"""The same command on the same run directory, after a kill at any stage, ends with the same model."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.e2e.conftest import ROOT, Finished, Program, environment

SAMPLING = "icr.sampling.transformers_sampler.decode"
SCORING = "icr.modules.scorer.ImplicitRewardModule.predict_step"
PAIRING = "icr.rounds.regenerate.with_reference_logps"
TRAINING = "icr.modules.preference.PreferenceModule.training_step"
SAVING = "icr.models.loading.LoadedModel.save"
RECORDING = "icr.rundir.store.RunDirectory._save_manifest"
CHECKPOINT = "lightning.pytorch.trainer.trainer.Trainer.save_checkpoint"

# 80 prompts a round are two parts of sampling and of scoring, and five optimiser steps (of two micro-batches) with a
# checkpoint after the second and the fourth.
PARTS, STEPS = 2, 5


def settings(pair: tuple[str, str]) -> list[str]:
    """A run of a few seconds."""
    return [
        "data=pocket",
        "data.prompts_per_language=20",
        "langs=low_resource",
        "evaluation=none",
        f"model.path={pair[0]}",
        f"model.reference={pair[1]}",
        "sampling.n=4",
        "sampling.max_new_tokens=12",
        "sampling.top_p=1",
        "reward.keep_truncated=true",
        "trainer.global_batch_size=16",
        "trainer.micro_batch_size=8",
        "trainer.checkpoint_every=2",
    ]


@pytest.fixture(scope="module")
def undisturbed(program: Program, pocket_pair, tmp_path_factory) -> Finished:
    """The run that nobody killed."""
    return program.ok(tmp_path_factory.mktemp("undisturbed") / "run", settings(pocket_pair))


def weights_differ(one: Path, other: Path) -> float:
    """Largest difference of any weight of two model folders, or adapter folders."""
    first, second = (load_file(next(folder.glob("*model.safetensors"))) for folder in (one, other))
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def assert_same_result(run: Finished, other: Finished, rounds: int = 2) -> None:
    """Same pairs, same models, same counts, every step logged, and nothing left over."""
    for t in range(rounds):
        ours, theirs = run.table(f"round_{t}/pairs"), other.table(f"round_{t}/pairs")
        assert ours.drop(columns=["reference_chosen_logp", "reference_rejected_logp"]).equals(
            theirs.drop(columns=["reference_chosen_logp", "reference_rejected_logp"])
        )
        assert (ours.reference_chosen_logp - theirs.reference_chosen_logp).abs().max() < 1e-6
        assert weights_differ(run.directory / f"round_{t}/model", other.directory / f"round_{t}/model") <= 1e-6
    assert run.summary()["rounds"] == other.summary()["rounds"]
    left = [p for p in run.directory.rglob("*") if p.name.endswith((".tmp", ".parts")) or p.name == "checkpoints"]
    assert left == []


def kill_and_go_on(
    program: Program, directory: Path, arguments: list[str], kill: tuple[str, int, str], undisturbed: Finished
) -> Finished:
    """Kill a run at a place, run the same command again, and compare with the undisturbed run."""
    function, call, when = kill
    killed = program(directory, arguments, {"function": function, "call": call, "when": when})
    assert killed.status == -signal.SIGKILL, killed.output
    assert not (directory / "summary.json").exists()
    before = killed.stages()
    finished = program.ok(directory, arguments)
    after = finished.stages()
    assert {name: after[name] for name in before} == before
    assert len(after) == len(undisturbed.stages())
    assert_same_result(finished, undisturbed)
    return finished


def test_undisturbed_runs_are_equal_and_trained(program: Program, pocket_pair, undisturbed: Finished, tmp_path):
    again = program.ok(tmp_path / "run", settings(pocket_pair))
    assert_same_result(again, undisturbed)
    models = [Path(pocket_pair[0]), *(undisturbed.directory / f"round_{t}/model" for t in (0, 1))]
    assert all(weights_differ(one, other) > 1e-4 for one, other in itertools.pairwise(models))


def test_a_finished_run_does_nothing_again(program: Program, pocket_pair, undisturbed: Finished, tmp_path):
    shutil.copytree(undisturbed.directory, tmp_path / "run")
    again = program.ok(tmp_path / "run", settings(pocket_pair))
    assert again.stages() == undisturbed.stages()
    assert_same_result(again, undisturbed)


def test_damage_ends_all_processes_and_what_is_gone_is_made_again(
    program: Program, pocket_pair, undisturbed: Finished, tmp_path
):
    """Rank 0 alone looks, and all know; two processes round otherwise than one, in the last bits at most."""
    directory, arguments = tmp_path / "run", [*settings(pocket_pair), "trainer.devices=2"]
    shutil.copytree(undisturbed.directory, directory)
    rewards = directory / "round_1/rewards.parquet"
    rewards.write_bytes(rewards.read_bytes()[:-1] + b"2")
    damaged = program(directory, arguments, ranks=2)
    assert damaged.status == 2
    assert f"{rewards} is damaged: its content is not what was written" in damaged.output
    assert "Traceback" not in damaged.output
    rewards.unlink()
    assert_same_result(program.ok(directory, arguments, ranks=2), undisturbed)


def test_killed_while_sampling(program: Program, pocket_pair, undisturbed: Finished, tmp_path):
    kill_and_go_on(program, tmp_path / "run", settings(pocket_pair), (SAMPLING, 2, "before"), undisturbed)


def test_killed_in_the_middle_of_training(program: Program, pocket_pair, undisturbed: Finished, tmp_path):
    """In the second round, after its first checkpoint, half-way through an optimiser step."""
    call = STEPS * 2 + 3 * 2
    finished = kill_and_go_on(program, tmp_path / "run", settings(pocket_pair), (TRAINING, call, "after"), undisturbed)
    steps = [len(rows) for _, rows in read_metrics(finished).groupby("round")]
    assert steps == [STEPS, STEPS]
    assert "resuming" not in finished.output
    assert "not empty" not in finished.output


def read_metrics(run: Finished):
    """`metrics.csv`."""
    import pandas as pd

    return pd.read_csv(run.directory / "metrics.csv")


@pytest.mark.slow
@pytest.mark.parametrize("t", [0, 1])
@pytest.mark.parametrize(
    ("function", "calls", "call", "when"),
    [
        pytest.param(SAMPLING, PARTS, 2, "before", id="sampling"),
        pytest.param(SCORING, PARTS, 2, "before", id="scoring"),
        pytest.param(PAIRING, 1, 1, "after", id="reference pass"),
        pytest.param(TRAINING, 2 * STEPS, 3, "before", id="training before a checkpoint"),
        pytest.param(TRAINING, 2 * STEPS, 8, "before", id="training after a checkpoint"),
        pytest.param(TRAINING, 2 * STEPS, 10, "after", id="training in its last step"),
        pytest.param(CHECKPOINT, 2, 2, "after", id="training as a checkpoint is written"),
        pytest.param(SAVING, 1, 1, "before", id="saving, before"),
        pytest.param(SAVING, 1, 1, "after", id="saving"),
    ],
)
def test_killed_anywhere(
    program: Program,
    pocket_pair,
    undisturbed: Finished,
    tmp_path,
    t: int,
    function: str,
    calls: int,
    call: int,
    when: str,
):
    kill = (function, t * calls + call, when)
    kill_and_go_on(program, tmp_path / "run", settings(pocket_pair), kill, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("save", range(2, 15))
def test_killed_between_an_output_and_the_manifest(program: Program, pocket_pair, undisturbed, tmp_path, save: int):
    """The output is in place, but nothing says so: that one stage is made again, with the same result."""
    kill_and_go_on(program, tmp_path / "run", settings(pocket_pair), (RECORDING, save, "before"), undisturbed)


@pytest.mark.slow
def test_killed_again_and_again(program: Program, pocket_pair, undisturbed: Finished, tmp_path):
    """A process that never lives long still gets there."""
    arguments, directory = settings(pocket_pair), tmp_path / "run"
    for function, call, when in [(SAMPLING, 2, "before"), (SCORING, 2, "before"), *[(TRAINING, 5, "after")] * 3]:
        killed = program(directory, arguments, {"function": function, "call": call, "when": when})
        assert killed.status == -signal.SIGKILL, killed.output
    assert_same_result(program.ok(directory, arguments), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "accumulate"), [("kto", 4), ("nll", 1)])
def test_killed_with_other_losses(program: Program, pocket_pair, tmp_path, loss: str, accumulate: int):
    arguments = [
        *settings(pocket_pair),
        f"loss={loss}",
        f"trainer.micro_batch_size={16 // accumulate}",
        "optim.schedule=cosine",
        "optim.warmup_ratio=0.3",
    ]
    undisturbed = program.ok(tmp_path / "undisturbed", arguments)
    kill = (TRAINING, (STEPS + 3) * accumulate, "after")
    kill_and_go_on(program, tmp_path / "killed", arguments, kill, undisturbed)


@pytest.mark.slow
def test_a_torn_checkpoint_is_not_trusted(program: Program, pocket_pair, undisturbed: Finished, tmp_path):
    arguments, directory = settings(pocket_pair), tmp_path / "run"
    killed = program(directory, arguments, {"function": TRAINING, "call": 9, "when": "before"})
    assert killed.status == -signal.SIGKILL, killed.output
    whole = next((directory / "round_0/checkpoints").glob("*.ckpt"))
    (whole.parent / "step=5.ckpt").write_bytes(whole.read_bytes()[:-1000])
    assert_same_result(program.ok(directory, arguments), undisturbed)


@pytest.mark.slow
def test_the_command_itself_killed_and_given_again(pocket_pair, undisturbed: Finished, tmp_path):
    """As a user would see it: `python -m icr.run`, killed from outside while it samples, and again."""
    directory = tmp_path / "run"
    command = [sys.executable, "-m", "icr.run", *settings(pocket_pair), f"run.dir={directory}"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not (directory / "round_0" / "responses.parts").exists():
        pass
    process.kill()
    assert process.wait() == -signal.SIGKILL
    again = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert_same_result(Finished(0, again.stdout, directory), undisturbed)


def test_more_rounds_on_a_finished_run(program: Program, pocket_pair, undisturbed: Finished, tmp_path):
    shutil.copytree(undisturbed.directory, tmp_path / "run")
    more = program.ok(tmp_path / "run", [*settings(pocket_pair), "iterations=3"])
    stages = more.stages()
    assert {name: stages[name] for name in undisturbed.stages()} == undisturbed.stages()
    assert [entry["round"] for entry in more.summary()["rounds"]] == [0, 1, 2]
    assert weights_differ(more.directory / "round_1/model", more.directory / "round_2/model") > 1e-4
    assert more.summary()["rounds"][:2] == undisturbed.summary()["rounds"]


@pytest.mark.parametrize(
    ("function", "call"),
    [pytest.param(SAMPLING, 1, id="sampling", marks=pytest.mark.slow), pytest.param(TRAINING, 6, id="training")],
)
def test_interrupted_by_hand(program: Program, pocket_pair, undisturbed: Finished, tmp_path, function: str, call: int):
    arguments, directory = settings(pocket_pair), tmp_path / "run"
    kill = {"function": function, "call": call, "when": "before", "signal": int(signal.SIGINT)}
    stopped = program(directory, arguments, kill)
    assert stopped.status == 130, stopped.output
    assert "goes on from here" in stopped.output
    assert "Traceback" not in stopped.output
    assert not list(directory.rglob("*.tmp"))
    assert_same_result(program.ok(directory, arguments), undisturbed)


def test_other_settings_are_refused_with_the_difference(program: Program, pocket_pair, undisturbed: Finished):
    before = (undisturbed.directory / "manifest.json").read_text()
    refused = program(undisturbed.directory, [*settings(pocket_pair), "loss.alpha=0.25", "sampling.temperature=0.7"])
    assert refused.status == 2
    assert "loss.alpha: 1.0 → 0.25" in refused.output
    assert "sampling.temperature: 1.0 → 0.7" in refused.output
    assert "Traceback" not in refused.output
    assert (undisturbed.directory / "manifest.json").read_text() == before


def test_a_changed_model_is_refused(program: Program, pocket_pair, undisturbed: Finished, tmp_path):
    """Another model under the same path: what was made from the old one is not mixed with it."""
    mine = tmp_path / "policy"
    shutil.copytree(pocket_pair[0], mine)
    arguments = [*settings((str(mine), pocket_pair[1])), "iterations=1"]
    program.ok(tmp_path / "run", arguments)
    shutil.copy(Path(pocket_pair[1]) / "model.safetensors", mine / "model.safetensors")
    refused = program(tmp_path / "run", arguments)
    assert refused.status == 2
    assert "policy: " in refused.output


def test_a_round_without_a_pair_stops_and_says_why(program: Program, pocket_pair, tmp_path):
    arguments = [*settings(pocket_pair), "reward.keep_truncated=false", "sampling.max_new_tokens=1"]
    stopped = program(tmp_path / "run", arguments)
    assert stopped.status == 2
    assert "round_0 has no usable pair among 80 prompts" in stopped.output
    assert "fewer than two usable: 80" in stopped.output
    assert "sampling.max_new_tokens" in stopped.output
    assert "Traceback" not in stopped.output
    skipped = json.loads((tmp_path / "run/round_0/skipped.json").read_text())
    assert {language: sum(reasons.values()) for language, reasons in skipped.items()} == dict.fromkeys(
        ("en", "bn", "sw", "th"), 20
    )
    assert program(tmp_path / "run", arguments).output.splitlines()[-1] == stopped.output.splitlines()[-1]


@pytest.fixture(scope="module")
def broken(pocket_pair, tmp_path_factory) -> str:
    """The policy with a weight that is not a number, in the last place before the output."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("broken") / "policy"
    shutil.copytree(pocket_pair[0], folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.norm.weight[3] = float("nan")
    model.save_pretrained(folder)
    return str(folder)


def test_a_broken_reward_policy_stops_and_names_the_response(program: Program, pocket_pair, broken: str, tmp_path):
    stopped = program(tmp_path / "run", [*settings(pocket_pair), f"reward_pair.policy={broken}"])
    assert stopped.status == 2
    assert "The log-probs of response " in stopped.output
    assert broken in stopped.output


def test_a_broken_start_stops_and_names_the_weights(program: Program, pocket_pair, broken: str, tmp_path):
    """The reward pair is sound, the policy to train is not. Sampled from, it would answer all prompts alike."""
    arguments = [
        *settings((broken, pocket_pair[1])),
        f"reward_pair.policy={pocket_pair[0]}",
    ]
    stopped = program(tmp_path / "run", arguments)
    assert stopped.status == 2, stopped.output
    assert f"the weights of {broken} cannot be trained: model.norm.weight holds NaN" in stopped.output
    assert "Traceback" not in stopped.output


def test_an_exploding_training_stops_and_names_the_example(program: Program, pocket_pair, tmp_path):
    stopped = program(tmp_path / "run", [*settings(pocket_pair), "optim.lr=1e30", "trainer.gradient_clip=0"])
    assert stopped.status == 2
    assert "The loss is not finite at step" in stopped.output or "holds NaN or infinity" in stopped.output
    assert "Traceback" not in stopped.output
