"""Two rounds of the whole program with real vLLM: whose weights it sampled from, and runs that lose it half-way."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest

from icr.config.languages import language_names
from icr.logps import score
from icr.models.loading import Loader
from icr.pocket.prompts import PocketPrompts
from icr.sampling.probe import PROMPTS
from icr.sampling.transformers_sampler import TransformersSampler
from tests.e2e import tiny
from tests.e2e.conftest import ROOT, Finished, Program, environment

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[str, str]:
    """Policy and reference, with heads of a size that vLLM has kernels for."""
    folder = tmp_path_factory.mktemp("pair")
    policy, reference = (
        tiny.byte_llama(folder / name, seed, context=512, hidden=64) for name, seed in [("policy", 1), ("reference", 2)]
    )
    return policy, reference


@pytest.fixture(scope="module")
def settings(pair) -> list[str]:
    """Two rounds on 40 prompts, and evaluations with greedy answers."""
    return [
        "data=pocket",
        "data.prompts_per_language=20",
        "langs.codes=[en,sw]",
        f"model.path={pair[0]}",
        f"model.reference={pair[1]}",
        "sampling.n=4",
        "sampling.max_new_tokens=16",
        "sampling.temperature=1",
        "reward.keep_truncated=true",
        "evaluation.prompts.prompts_per_language=3",
        "+evaluation.sampling.temperature=0",
        "trainer.global_batch_size=8",
        "trainer.micro_batch_size=8",
        "optim.lr=1e-2",
    ]


@pytest.fixture(scope="module")
def rounds_alone(settings) -> list[str]:
    """The same without evaluations, each of which starts vLLM once more."""
    return [*(text for text in settings if "evaluation" not in text), "evaluation=none"]


@pytest.fixture(scope="module")
def by_process(vllm_python) -> list[str]:
    return ["sampling=vllm", f"sampling.python={vllm_python}"]


@pytest.fixture(scope="module")
def server(vllm_server, pair):
    started = vllm_server(pair[0], VLLM_SERVER_DEV_MODE="1")
    started.wait()
    return started


@pytest.fixture(scope="module")
def by_server(server) -> list[str]:
    return ["sampling=vllm_server", f"sampling.urls=[{server.url}]", "sampling.prompts_per_part=10"]


@pytest.fixture(scope="module")
def served(program: Program, settings, by_server, tmp_path_factory) -> Finished:
    """The run by a server that nobody killed."""
    return program.ok(tmp_path_factory.mktemp("served") / "run", [*settings, *by_server])


def advantage(path: str, other: str, responses) -> np.ndarray:
    """By how much likelier than under `other` each response is under the model at `path`, in nats."""
    sequences = [(list(r.prompt_ids), list(r.response_ids)) for r in responses.itertuples()]
    ours, theirs = (score(Loader().load(p).model, sequences, tokens_per_batch=4096) for p in (path, other))
    return np.array([a.sum() - b.sum() for a, b in zip(ours, theirs, strict=True)])


def assert_rounds_sampled_from_their_own_weights(run: Finished, pair: tuple[str, str]) -> None:
    """Evaluations answer greedily, as transformers does with the same model; and round 1's responses are M0's.

    Of responses drawn from `p`, `log p − log q` is on average the divergence of `p` from `q`, which is above 0; of
    those drawn from `q` it is below.
    """
    first = str(run.directory / "round_0/model")
    models = {"dpo_en": pair[0], "M0": first, "M1": str(run.directory / "round_1/model")}
    names = list(language_names(["en", "sw"], {}))
    prompts = PocketPrompts(prompts_per_language=3).prompts(names, "test").prompts
    greedy = TransformersSampler(n=1, temperature=0, max_new_tokens=16)
    texts = {name: [r.text for r in greedy.sample(Loader().load(path), prompts, ())] for name, path in models.items()}
    for name in models:
        assert list(run.table(f"evaluation/{name}").text) == texts[name]
    assert len({tuple(answers) for answers in texts.values()}) == 3
    for round, sign in [(0, -1), (1, 1)]:
        gain = advantage(first, pair[0], run.table(f"round_{round}/responses"))
        assert sign * gain.mean() > 5 * gain.std() / len(gain) ** 0.5


def test_two_rounds_by_processes(program: Program, settings, by_process, pair, served, tmp_path):
    run = program.ok(tmp_path / "run", [*settings, *by_process])
    assert_rounds_sampled_from_their_own_weights(run, pair)
    assert run.table("round_0/responses").equals(served.table("round_0/responses"))
    assert run.output.count("vLLM starts on") == len(["SFT", "DPO-en", "round 0", "M0", "round 1", "M1"])


def test_two_rounds_by_a_server(served, pair):
    assert_rounds_sampled_from_their_own_weights(served, pair)


def test_a_server_lost_half_way(program: Program, settings, served, vllm_server, pair, by_server, tmp_path):
    """Its finished parts are kept, and the run goes on with another server: with the same responses in the end."""
    dying = vllm_server(pair[0], VLLM_SERVER_DEV_MODE="1")
    dying.wait()
    own = [*settings, "sampling=vllm_server", "sampling.prompts_per_part=10", "sampling.retries=1"]
    command = [sys.executable, "-m", "icr.run", *own, f"sampling.urls=[{dying.url}]", f"run.dir={tmp_path / 'run'}"]
    log = tmp_path / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=output, stderr=output)
    parts = tmp_path / "run/round_0/responses.parts"
    while process.poll() is None and not list(parts.glob("[0-9]*.parquet")):
        pass
    dying.kill()
    assert process.wait(timeout=120) == 2, log.read_text()
    assert "No vLLM server answers any more" in log.read_text()
    assert "goes on from here" in log.read_text()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("[0-9]*.parquet")}
    assert kept
    again = program(tmp_path / "run", [*own, *by_server[1:]], {**STOP, "call": 4 - len(kept)})
    assert again.status == -signal.SIGKILL
    assert {name: (parts / name).stat().st_mtime_ns for name in kept} == kept
    finished = program.ok(tmp_path / "run", [*own, *by_server[1:]])
    for round in (0, 1):
        assert finished.table(f"round_{round}/responses").equals(served.table(f"round_{round}/responses"))


STOP = {"function": "icr.sampling.engine_sampler.EngineSampler.sample", "when": "after"}


def test_a_run_killed_with_its_process(program: Program, rounds_alone, by_process, served, tmp_path):
    """Killed by hand while vLLM samples in the second round; the same command ends with the same responses."""
    first_round, started, half = 1 + PROMPTS + 40, 1 + PROMPTS, 20  # Messages: ready, probes, answers.
    call = first_round + started + half
    kill = {"function": "icr.sampling.worker_pool.WorkerPool._next", "call": call, "when": "after"}
    arguments = [*rounds_alone, *by_process]
    killed = program(tmp_path / "run", arguments, kill)
    assert killed.status == -signal.SIGKILL, killed.output
    assert "round_1/responses" not in killed.stages()
    finished = program.ok(tmp_path / "run", arguments)
    for round in (0, 1):
        assert finished.table(f"round_{round}/responses").equals(served.table(f"round_{round}/responses"))


def test_two_rounds_of_an_adapter(program: Program, rounds_alone, by_process, pair, tmp_path):
    """Round 1's responses are those of the base under round 0's adapter."""
    run = program.ok(tmp_path / "run", [*rounds_alone, *by_process, "adapter=lora", "optim.lr=3e-2"])
    adapter = str(run.directory / "round_0/model")
    assert (run.directory / "round_0/model/adapter_config.json").is_file()
    for round, sign in [(0, -1), (1, 1)]:
        gain = advantage(adapter, pair[0], run.table(f"round_{round}/responses"))
        assert sign * gain.mean() > 5 * gain.std() / len(gain) ** 0.5
