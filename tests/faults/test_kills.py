"""The campaign of kills: at any moment, again and again, and the same command ends with the same pairs and weights.

Its sample, in which every kill has its place, is `tests/e2e/test_resume.py` and `tests/e2e/test_devices.py`.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import pytest
from safetensors.torch import load_file

from tests.e2e.conftest import ROOT, Finished, Program, environment, pocket_pair, program  # noqa: F401 (fixtures)
from tests.e2e.test_devices import command

SEED = int(os.environ.get("ICR_FAULTS_SEED", "0"))
SGD = [
    *("optim.optimizer._target_=torch.optim.SGD", "~optim.optimizer.betas", "~optim.optimizer.eps"),
    *("~optim.optimizer.fused", "optim.lr=0.05"),
]
TWO = ["trainer.devices=2"]
EVALUATED = ["evaluation=pocket", "evaluation.prompts.prompts_per_language=3", "evaluation.split=dev"]


@dataclass(frozen=True)
class Plan:
    """Kills of one kind of run.

    Attributes:
        kills: how many.
        choices: that make the run.
        ranks: processes of its attempts, one after the other, over and over; the undisturbed run has one.
        exact: whether the result is the undisturbed run's to the bit; else up to rounding.
    """

    kills: int
    choices: Sequence[str]
    ranks: Sequence[int] = (1,)

    @property
    def exact(self) -> bool:
        return set(self.ranks) == {1}


PLANS = {
    "DPO": Plan(24, ["loss=dpo"]),
    "KTO": Plan(18, ["loss=kto", "trainer.micro_batch_size=4"]),
    "LoRA": Plan(18, ["loss=dpo", "adapter=lora", "adapter.merge=true"]),
    "evaluated": Plan(14, ["loss=dpo", *EVALUATED]),
    "two processes": Plan(14, ["loss=dpo", *SGD], (2,)),
    "other numbers of processes": Plan(14, ["loss=kto", *SGD], (1, 2, 1)),
}
OF_PROCESSES = ("parent", "rank 0", "rank 1")


def settings(pair: tuple[str, str], choices: Sequence[str]) -> list[str]:
    """A run of a few seconds: two rounds of three or four steps, with a checkpoint after each second one."""
    return [
        *("data=pocket", "data.prompts_per_language=10", "langs.codes=[en,sw,th]", "evaluation=none"),
        *(f"model.path={pair[0]}", f"model.reference={pair[1]}", "sampling.n=3", "sampling.max_new_tokens=8"),
        *("sampling.top_p=1", "reward.keep_truncated=true", "trainer.global_batch_size=8"),
        *("trainer.micro_batch_size=8", "trainer.checkpoint_every=2", *choices),
    ]


def assert_same(run: Finished, other: Finished, exact: bool) -> None:
    """Same pairs, same weights, same summary, and nothing left over."""
    for t in (0, 1):
        ours, theirs = run.table(f"round_{t}/pairs"), other.table(f"round_{t}/pairs")
        measured = [] if exact else [name for name in theirs if "logp" in name or "reward" in name]
        assert ours.drop(columns=measured).equals(theirs.drop(columns=measured))
        assert not measured or (ours[measured] - theirs[measured]).abs().max().max() < 1e-4
        weights = [load_file(next((r.directory / f"round_{t}/model").glob("*model.safetensors"))) for r in (run, other)]
        assert weights[0].keys() == weights[1].keys()
        difference = max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])
        assert difference <= (0 if exact else 1e-5), difference
    ours, theirs = run.summary(), other.summary()
    assert ours["rounds"] == theirs["rounds"]
    assert ours["models"] == theirs["models"]
    left = [p for p in run.directory.rglob("*") if p.name.endswith((".tmp", ".parts")) or p.name == "checkpoints"]
    assert left == []


@pytest.fixture(scope="module")
def undisturbed(program: Program, pocket_pair, tmp_path_factory):  # noqa: F811
    """`undisturbed(choices)`: the run that nobody killed, and its seconds; made once."""
    made: dict[tuple[str, ...], tuple[Finished, float]] = {}

    def run(choices: Sequence[str]) -> tuple[Finished, float]:
        if (key := tuple(choices)) not in made:
            program(tmp_path_factory.mktemp("refused") / "run", ["loss.beta=0"])  # The server is there from now on.
            started = time.monotonic()
            finished = program.ok(tmp_path_factory.mktemp("undisturbed") / "run", settings(pocket_pair, choices))
            made[key] = finished, time.monotonic() - started
        return made[key]

    return run


@pytest.mark.faults
@pytest.mark.parametrize("name", PLANS)
def test_killed_at_random(name, program: Program, pocket_pair, undisturbed, tmp_path, count):  # noqa: F811
    plan, dice = PLANS[name], random.Random(f"{SEED} {name}")
    print(f"ICR_FAULTS_SEED={SEED}")
    arguments = settings(pocket_pair, plan.choices)
    whole, seconds = undisturbed(plan.choices)
    kills = 0
    for attempt in itertools.count():
        directory, numbers = tmp_path / str(attempt), itertools.cycle(plan.ranks)
        for _ in range(dice.randint(1, 4)):
            ranks = next(numbers)
            kill = {"seconds": dice.uniform(0, seconds), "rank": dice.randrange(ranks)}
            killed = program(directory, [*arguments, f"trainer.devices={ranks}"], kill, ranks=ranks)
            assert killed.status in (-signal.SIGKILL, 0), killed.output
            if killed.status == 0:
                break
            kills += 1
            count("kills", name)
        ranks = next(numbers)
        resumed = program.ok(directory, [*arguments, f"trainer.devices={ranks}"], ranks=ranks)
        assert_same(resumed, whole, plan.exact)
        if kills >= plan.kills:
            break


@pytest.mark.faults
@pytest.mark.parametrize("whom", OF_PROCESSES)
def test_a_process_of_the_command_is_killed(whom, pocket_pair, undisturbed, tmp_path, count):  # noqa: F811
    """As a user would see it, twice: the whole command, of which the parent or one rank is killed; nobody is left."""
    dice = random.Random(f"{SEED} {whom}")
    print(f"ICR_FAULTS_SEED={SEED}")
    choices = PLANS["two processes"].choices
    given = command(tmp_path / "run", [*settings(pocket_pair, choices), *TWO])
    for _ in range(2):
        family = started(given)
        time.sleep(dice.uniform(0, 6))
        family[OF_PROCESSES.index(whom)].kill()
        count("kills", f"the {whom} of a command")
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not alive, alive
    again = subprocess.run(given, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    whole, _ = undisturbed(choices)
    assert_same(Finished(0, again.stdout, tmp_path / "run"), whole, exact=False)


def started(given: Sequence[str]) -> list[psutil.Process]:
    """The command and its two ranks, as soon as they are there."""
    parent = psutil.Popen(given, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while parent.is_running() and len(ranks := parent.children()) < 2:
        time.sleep(0.05)
    return [parent, *sorted(ranks, key=lambda rank: rank.pid)]
