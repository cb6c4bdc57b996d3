"""Real vLLM, in processes of its own and behind its server: tokens against transformers, weights, kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from peft import LoraConfig, get_peft_model

from icr.errors import RunError
from icr.models.loading import LoadedModel
from icr.sampling.transformers_sampler import TransformersSampler
from icr.sampling.vllm_sampler import VLLMSampler
from icr.sampling.vllm_server_sampler import VLLMServerSampler
from icr.types import Prompt
from tests.vllm_engine import SHAPE

pytestmark = pytest.mark.vllm

TEXTS = ["hi", "¿Qué es esto?", "Почему небо голубое и трава зелёная?", "kwa nini?", "Sag mir, was das ist, bitte!"]
PROMPTS = [Prompt(str(i), "en", text, text) for i, text in enumerate(TEXTS)]
SEED = (0, 0)
GREEDY = {"n": 2, "temperature": 0, "max_new_tokens": 24}
SAMPLED = {"n": 10, "temperature": 1.0, "top_p": 0.9, "max_new_tokens": 48}


@pytest.fixture(scope="module")
def process(vllm_python) -> VLLMSampler:
    return VLLMSampler(python=vllm_python, **GREEDY)


@pytest.fixture(scope="module")
def server(vllm_server, vllm_rounds):
    """One that loads weights when told to."""
    started = vllm_server(vllm_rounds[0].path, VLLM_SERVER_DEV_MODE="1")
    started.wait()
    return started


@pytest.fixture(scope="module")
def remote(server) -> VLLMServerSampler:
    return VLLMServerSampler(urls=(server.url,), retries=2, **GREEDY)


@pytest.fixture(scope="module", params=["process", "remote"])
def sampler(request):
    """Both ways."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def sampled(process, vllm_rounds):
    """Ten seeded responses to each prompt, by a process."""
    return draw(replace(process, **SAMPLED), vllm_rounds[0])


def draw(sampler, policy: LoadedModel, prompts=PROMPTS, seed: tuple = SEED):
    """Responses, and the engine let go of."""
    try:
        return sampler.sample(policy, prompts, seed)
    finally:
        sampler.release()


def by_transformers(policy: LoadedModel):
    return TransformersSampler(**GREEDY).sample(policy, PROMPTS, SEED)


def descendants() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "vllm_worker" in " ".join(child.cmdline())]


def test_greedy_tokens_are_transformers_round_after_round(sampler, vllm_rounds):
    old, new = vllm_rounds
    assert draw(sampler, old) == by_transformers(old)
    assert draw(sampler, new) == by_transformers(new)
    assert by_transformers(new) != by_transformers(old)


def test_seeded_responses(sampler, vllm_rounds, sampled):
    """The same again, in other company, by process and server, as the first of more; others with other seeds."""
    own, (policy, _) = replace(sampler, **SAMPLED), vllm_rounds
    assert draw(own, policy, PROMPTS[::-1]) == [r for p in PROMPTS[::-1] for r in sampled if r.id == p.id]
    assert draw(replace(own, n=4), policy, PROMPTS[1:3]) == [r for r in sampled if r.id in "12" and r.k < 4]
    assert len({tuple(r.response_ids) for r in sampled}) > 0.9 * len(sampled)
    other = draw(own, policy, seed=(0, 1))
    assert sum(a.response_ids == b.response_ids for a, b in zip(sampled, other, strict=True)) < 5


def test_finish_reasons(vllm_rounds, sampled):
    stops = vllm_rounds[0].renderer.stop_ids
    assert {r.finish_reason for r in sampled} == {"stop", "length"}
    for response in sampled:
        assert not stops & set(response.response_ids[:-1])
        assert (response.response_ids[-1] in stops) == (response.finish_reason == "stop")
        assert response.finish_reason == "stop" or len(response.response_ids) == 48


def test_copies_share_the_work(process, vllm_rounds, sampled):
    """Two engines side by side, which here have one CPU between them."""
    own = replace(process, **SAMPLED, data_parallel_size=2)
    try:
        assert own.sample(vllm_rounds[0], PROMPTS, SEED) == sampled
        assert len(descendants()) == 2
    finally:
        own.release()
    assert descendants() == []


def test_other_weights_than_the_policys_are_refused(process, vllm_rounds):
    """As where a folder was changed after the policy was loaded from it."""
    old, new = vllm_rounds
    with pytest.raises(RunError, match="does not hold the weights"):
        draw(process, replace(old, path=new.path))
    assert descendants() == []


def test_what_vllm_says_is_passed_on(process, vllm_rounds):
    with pytest.raises(RunError, match=r"max_model_len|context length") as caught:
        draw(replace(process, engine={"max_model_len": 16}), vllm_rounds[0])
    assert ".log" in str(caught.value)


def test_a_process_killed_in_mid_sampling(process, vllm_rounds):
    own = replace(process, **{**SAMPLED, "max_new_tokens": 400})

    def kill(done: int) -> None:
        os.kill(descendants()[0].pid, signal.SIGKILL)

    with pytest.raises(RunError, match="was ended by signal 9") as caught:
        own.sample(vllm_rounds[0], PROMPTS, SEED, kill)
    own.release()
    assert "goes on from here" in str(caught.value)
    assert descendants() == []


PARENT = """
import sys, json
from icr.models.loading import Loader
from icr.sampling.vllm_sampler import VLLMSampler
from icr.types import Prompt
settings, path = json.loads(sys.argv[1])
sampler = VLLMSampler(**settings)
prompt = Prompt("0", "en", "hi", "hi")
sampler.sample(Loader().load(path), [prompt], (0,))
print("sampled", flush=True)
sys.stdin.read()
"""


def test_no_process_outlives_a_run_that_is_killed(process, vllm_rounds):
    settings = {"python": process.python, **GREEDY}
    run = subprocess.Popen(
        [sys.executable, "-c", PARENT, json.dumps([settings, vllm_rounds[0].path])],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert run.stdout.readline() == b"sampled\n"
    (worker,) = descendants()
    run.kill()
    run.wait()
    assert psutil.wait_procs([worker], timeout=60)[1] == []


def test_a_server_killed_in_mid_sampling(vllm_server, vllm_rounds, server, sampled):
    """The other server takes over what it had; without another, the run ends and says how to go on."""
    dying = vllm_server(vllm_rounds[0].path, VLLM_SERVER_DEV_MODE="1")
    dying.wait()
    own = VLLMServerSampler(urls=(dying.url, server.url), retries=1, concurrency=1, **SAMPLED)
    started = time.monotonic()
    try:
        answers = own.sample(vllm_rounds[0], PROMPTS, SEED, lambda done: dying.kill())
    finally:
        own.release()
    assert answers == sampled
    assert dying.process.poll() == -signal.SIGKILL
    alone = replace(own, urls=(dying.url,))
    with pytest.raises(RunError, match="No vLLM server answers any more"):
        draw(alone, vllm_rounds[0])
    assert time.monotonic() - started < 60


@pytest.fixture(scope="module")
def adapted(make_model, vllm_rounds, tmp_path_factory) -> LoadedModel:
    """The first round's model under a LoRA adapter that matters, merged in process, and the adapter's folder."""
    (base, _), folder = vllm_rounds, tmp_path_factory.mktemp("adapter")
    config = LoraConfig(r=4, lora_alpha=32, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(make_model("llama", 1, **SHAPE), config)
    model.peft_config["default"].base_model_name_or_path = base.path
    model.save_pretrained(folder)
    return LoadedModel(model.merge_and_unload().eval(), base.renderer, str(folder))


def test_an_adapter_over_its_base_by_a_process(process, vllm_rounds, adapted):
    assert by_transformers(adapted) != by_transformers(vllm_rounds[0])
    assert draw(process, adapted) == by_transformers(adapted)


def test_an_adapter_over_its_base_by_a_server(vllm_server, vllm_rounds, adapted):
    options = ["--enable-lora", "--max-lora-rank", "8"]
    running = vllm_server(vllm_rounds[0].path, *options, VLLM_ALLOW_RUNTIME_LORA_UPDATING="True")
    running.wait()
    own = VLLMServerSampler(urls=(running.url,), **GREEDY)
    assert draw(own, adapted) == by_transformers(adapted)
    assert draw(own, vllm_rounds[0]) == by_transformers(vllm_rounds[0])
    running.kill()
