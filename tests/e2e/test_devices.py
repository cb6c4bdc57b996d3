"""Runs in two processes: the same pairs, losses and weights as in one, after a kill too; and how they end badly."""

from __future__ import annotations

import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from tests.e2e import tiny
from tests.e2e.conftest import ROOT, Finished, Program, environment

TRAINING = "icr.modules.preference.PreferenceModule.training_step"
SAMPLING = "icr.sampling.transformers_sampler.decode"

# 40 pairs a round are three full steps, of which one rank has six pairs and the other seven, in three micro-batches
# each, and a last step of a single pair, of which the first rank has none.
PROMPTS, STEP, MICRO, STEPS, CALLS = 40, 13, 3, 4, 10


def settings(pair: tuple[str, str]) -> list[str]:
    """A run of a few seconds. SGD, because Adam would not notice a gradient that is twice what it should be."""
    return [
        "data=pocket",
        "data.prompts_per_language=10",
        "langs=low_resource",
        "evaluation=none",
        f"model.path={pair[0]}",
        f"model.reference={pair[1]}",
        "sampling.n=4",
        "sampling.max_new_tokens=12",
        "sampling.top_p=1",
        "reward.keep_truncated=true",
        f"trainer.global_batch_size={STEP}",
        f"trainer.micro_batch_size={MICRO}",
        "trainer.checkpoint_every=2",
        "optim.optimizer._target_=torch.optim.SGD",
        "~optim.optimizer.betas",
        "~optim.optimizer.eps",
        "~optim.optimizer.fused",
        "optim.lr=0.05",
    ]


def two(strategy: str) -> list[str]:
    """What makes it a run of two processes."""
    return ["trainer.devices=2", f"strategy={strategy}"]


def metrics(run: Finished) -> pd.DataFrame:
    """`metrics.csv`, columns in alphabetical order."""
    table = pd.read_csv(run.directory / "metrics.csv")
    return table[sorted(table)]


def assert_same(run: Finished, one: Finished, rounds: int = 2) -> None:
    """Same pairs; to 1e-5, the same figures at every step and the same final weights."""
    for t in range(rounds):
        ours, theirs = run.table(f"round_{t}/pairs"), one.table(f"round_{t}/pairs")
        measured = [name for name in theirs if "logp" in name or "reward" in name]
        assert ours.drop(columns=measured).equals(theirs.drop(columns=measured))
        assert (ours[measured] - theirs[measured]).abs().max().max() < 1e-4  # Sums over a dozen tokens.
        folders = [r.directory / f"round_{t}/model" for r in (run, one)]
        assert {file.name for file in folders[0].iterdir()} == {file.name for file in folders[1].iterdir()}
        first, second = (load_file(next(folder.glob("*.safetensors"))) for folder in folders)
        assert first.keys() == second.keys()
        assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-5
    ours, theirs = metrics(run), metrics(one)
    assert len(ours) == rounds * STEPS
    assert list(ours) == list(theirs)
    assert ours.isna().equals(theirs.isna())
    # At a round's first step policy and reference are one model: which margin is above zero is rounding there.
    tied = ours.step.eq(0)
    for table in (ours, theirs):
        table.loc[tied, [name for name in table if name.endswith("accuracies")]] = 0
    assert ((ours - theirs).abs() / theirs.abs().clip(lower=1)).max().max() < 1e-5
    assert run.summary()["rounds"] == one.summary()["rounds"]
    left = [p for p in run.directory.rglob("*") if p.name.endswith((".tmp", ".parts")) or p.name == "checkpoints"]
    assert left == []


@pytest.fixture(scope="module")
def one_process(program: Program, pocket_pair, tmp_path_factory):
    """`one_process(*choices)`: the run of a single process, made once."""
    made: dict[tuple[str, ...], Finished] = {}

    def run(*choices: str) -> Finished:
        if choices not in made:
            made[choices] = program.ok(tmp_path_factory.mktemp("one") / "run", [*settings(pocket_pair), *choices])
        return made[choices]

    return run


@pytest.mark.parametrize(
    ("strategy", "choices"),
    [
        ("ddp", ["loss=dpo"]),
        ("fsdp2", ["loss=kto"]),
        ("fsdp2", ["loss=dpo", "adapter=lora"]),
        pytest.param("ddp", ["loss=kto"], marks=pytest.mark.slow),
        pytest.param("ddp", ["loss=dpo", "adapter=lora"], marks=pytest.mark.slow),
        pytest.param("ddp", ["loss=kto", "adapter=lora"], marks=pytest.mark.slow),
        pytest.param("fsdp2", ["loss=dpo"], marks=pytest.mark.slow),
        pytest.param("fsdp2", ["loss=kto", "adapter=lora"], marks=pytest.mark.slow),
        pytest.param("fsdp2", ["loss=dpo", "trainer.gradient_checkpointing=true"], marks=pytest.mark.slow),
        pytest.param("auto", ["loss=nll"], marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_two_processes_equal_one(program: Program, pocket_pair, one_process, tmp_path, strategy: str, choices):
    arguments = [*settings(pocket_pair), *choices, *two(strategy)]
    assert_same(program.ok(tmp_path / "run", arguments, ranks=2), one_process(*choices))


@pytest.mark.parametrize(
    ("strategy", "choices"),
    [
        ("fsdp2", ["loss=kto"]),
        pytest.param("ddp", ["loss=dpo"], marks=pytest.mark.slow),
        pytest.param("fsdp2", ["loss=dpo", "adapter=lora"], marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_killed_in_the_middle_of_training(program: Program, pocket_pair, one_process, tmp_path, strategy: str, choices):
    """The second rank, in the second round after its checkpoint: the same command ends as if nothing had been."""
    arguments = [*settings(pocket_pair), *choices, *two(strategy)]
    kill = {"function": TRAINING, "call": CALLS + 8, "when": "after", "rank": 1}
    killed = program(tmp_path / "run", arguments, kill, ranks=2)
    assert killed.status == -signal.SIGKILL, killed.output
    assert [path.name for path in (tmp_path / "run/round_1/checkpoints").glob("*.ckpt")] == ["step=2.ckpt"]
    resumed = program.ok(tmp_path / "run", arguments, ranks=2)
    attempts = pd.concat(map(pd.read_csv, (tmp_path / "run/round_1/metrics").glob("version_*/metrics.csv")))
    assert sorted(attempts.dropna(subset="loss").step) == [0, 1, 2, 3]  # What a round shows has rows of its own.
    assert_same(resumed, one_process(*choices))


def cut(ranks: int, micro: int = MICRO) -> list[str]:
    """What makes it a run of so many processes, and of other micro-batches."""
    return [f"trainer.devices={ranks}", f"trainer.micro_batch_size={micro}"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, MICRO), (2, MICRO)),
        ((2, MICRO), (1, MICRO)),
        pytest.param((1, MICRO), (1, 5), marks=pytest.mark.slow),
        pytest.param((2, 4), (3, 2), marks=pytest.mark.slow),
        pytest.param((3, MICRO), (2, MICRO), marks=pytest.mark.slow),
    ],
)
def test_a_training_goes_on_in_another_number_of_processes(
    program: Program, pocket_pair, one_process, tmp_path, before, after
):
    """Killed after the first round's checkpoint: the same steps as of one process from start to end, none twice."""
    calls = 2 * math.ceil(math.ceil(STEP / before[0]) / before[1]) + 1
    arguments = [*settings(pocket_pair), "loss=dpo"]
    kill = {"function": TRAINING, "call": calls, "when": "after"}
    killed = program(tmp_path / "run", [*arguments, *cut(*before)], kill, ranks=before[0])
    assert killed.status == -signal.SIGKILL, killed.output
    assert [path.name for path in (tmp_path / "run/round_0/checkpoints").glob("*.ckpt")] == ["step=2.ckpt"]
    resumed = program.ok(tmp_path / "run", [*arguments, *cut(*after)], ranks=after[0])
    assert_same(resumed, one_process("loss=dpo"))


@pytest.mark.slow
def test_a_sharded_checkpoint_wants_as_many_processes_again(program: Program, pocket_pair, tmp_path):
    arguments = [*settings(pocket_pair), "loss=dpo"]
    kill = {"function": TRAINING, "call": 7, "when": "after"}
    killed = program(tmp_path / "run", [*arguments, *two("fsdp2")], kill, ranks=2)
    assert killed.status == -signal.SIGKILL, killed.output
    alone = program(tmp_path / "run", [*arguments, "strategy=fsdp2"])
    assert alone.status == 2
    assert "begun otherwise (processes that share a checkpoint: 2 → 1)" in alone.output
    assert "Traceback" not in alone.output


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_killed_while_sampling(program: Program, pocket_pair, one_process, tmp_path, rank: int):
    arguments = [*settings(pocket_pair), *two("ddp")]
    killed = program(tmp_path / "run", arguments, {"function": SAMPLING, "call": 2, "when": "before", "rank": rank}, 2)
    assert killed.status == -signal.SIGKILL, killed.output
    assert_same(program.ok(tmp_path / "run", arguments, ranks=2), one_process("loss=dpo"))


def command(directory: Path, arguments: list[str]) -> list[str]:
    """As a user gives it."""
    return [sys.executable, "-m", "icr.run", *arguments, f"run.dir={directory}"]


def workers(parent: int) -> list[int]:
    """Processes that a process has started."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def test_a_killed_rank_ends_the_run(pocket_pair, tmp_path):
    """By its own message, within a minute, and with nobody left behind."""
    arguments = [*settings(pocket_pair), *two("ddp"), "trainer.max_steps=100000"]
    process = subprocess.Popen(
        command(tmp_path / "run", arguments), cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list((tmp_path / "run").rglob("*.ckpt")):
        time.sleep(0.1)
    ranks = workers(process.pid)
    assert len(ranks) == 2
    killed_at = time.monotonic()
    subprocess.run(["kill", "-9", str(ranks[1])], check=True)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - killed_at < 60
    assert process.returncode == 2
    *before, last = errors.strip().splitlines()
    assert last.startswith("icr: Rank 1 was killed by SIGKILL")
    assert "goes on from here" in last
    assert all(line.startswith(("run directory", "reward pair", "round_0: ")) for line in before), errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)


def test_an_error_in_a_rank_is_one_paragraph(pocket_pair, tmp_path):
    """A reward policy whose weights are not numbers, found out by all ranks: icr's own lines, and no traceback."""
    broken = tmp_path / "policy"
    shutil.copytree(pocket_pair[0], broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    arguments = [*settings(pocket_pair), f"reward_pair.policy={broken}", *two("auto")]
    ended = subprocess.run(
        command(tmp_path / "run", arguments), cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    lines = ended.stderr.strip().splitlines()
    assert lines[-1].startswith("icr: The log-probs of response ")
    told = ("run directory", "reward pair", "icr:")
    assert [line.startswith(told[place]) for place, line in enumerate(lines)] == [True] * 3, ended.stderr


@pytest.mark.slow
def test_four_bit_weights_under_ddp(program: Program, tmp_path):
    pair = tuple(tiny.byte_llama(tmp_path / str(seed), seed, context=2048, hidden=64) for seed in (1, 2))
    # One round: in 4 bits, weights that differ in the last place are rounded apart often enough to draw another token.
    arguments = [*settings(pair), "adapter=qlora", "adapter.r=4", "iterations=1"]
    one = program.ok(tmp_path / "one", arguments)
    assert_same(program.ok(tmp_path / "two", [*arguments, *two("ddp")], ranks=2), one, rounds=1)
