"""Which policy an engine holds, where one training step is smaller than the rounding of its arithmetic."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from icr.errors import RunError
from icr.logps import score
from icr.models.loading import LoadedModel, Loader
from icr.sampling.probe import Probe
from icr.sampling.rivals import DECIDED, Rival, compare, lean
from icr.sampling.vllm_server_sampler import VLLMServerSampler
from icr.types import Prompt
from tests.sampling.stand_in_server import StandInServer

STEPS = {"seen": 1000, "unseen": 40}
"""Steps at a learning rate of 5e-7 whose sum is seen in log-probs, or lost in the rounding of bfloat16."""
TEXTS = ["What is a whale, and why does it sing so far below the waves?", "¿Qué es esto?", "Почему небо голубое?"] * 4


def rows(model, prompts) -> list[list[float]]:
    """An engine's answer with this model's weights."""
    return [row.tolist() for row in score(model, [(ids[:1], ids[1:]) for ids in prompts], tokens_per_batch=256)]


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    random = np.random.default_rng(0)
    return [random.integers(6, 262, int(length)).tolist() for length in random.integers(40, 120, 16)]


@pytest.fixture(scope="module")
def old(make_model):
    return make_model("llama", 1, initializer_range=0.1).to(torch.bfloat16)


@pytest.fixture(scope="module")
def after(old):
    """`after(steps)`: the old weights after so many steps of AdamW at a learning rate of 5e-7."""

    def train(steps: int):
        new, random = copy.deepcopy(old), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weights in new.parameters():
                step = torch.randn(weights.shape, generator=random).clamp(-1, 1) * 5e-7 * steps
                weights.copy_((weights.float() + step).bfloat16())
        return new

    return train


@pytest.fixture(scope="module")
def probe_of(loaded, prompts, old):
    """`probe_of(new)`: a probe of it after one of the old policy, which no engine has answered."""

    def make(new) -> Probe:
        first = Probe.of(replace(loaded(old), path="round_0"), prompts, 0.05)
        return Probe.of(replace(loaded(new), path="round_1"), prompts, 0.05, [first])

    return make


ARITHMETIC = {"as in process": lambda model: model, "with other rounding": lambda model: copy.deepcopy(model).float()}


@pytest.mark.parametrize("arithmetic", ARITHMETIC.values(), ids=ARITHMETIC)
def test_the_old_policy_is_told_from_the_new(old, after, probe_of, arithmetic, caplog):
    """Within the tolerance of each other, so that the tolerance alone passes either."""
    new = after(STEPS["seen"])
    probe = probe_of(new)
    alone = replace(probe, earlier=())
    alone.check(rows(arithmetic(old), probe.prompts), "It")
    with pytest.raises(RunError, match=r"It does not hold the weights of round_1: .* nearer to those of round_0"):
        probe.check(rows(arithmetic(old), probe.prompts), "It")
    probe.check(rows(arithmetic(new), probe.prompts), "It")
    assert caplog.messages == []


def test_what_cannot_be_told_is_said_once_and_with_figures(old, after, probe_of, caplog):
    new = after(STEPS["unseen"])
    probe = probe_of(new)
    for model in (new, old):
        probe.check(rows(copy.deepcopy(model).float(), probe.prompts), "The engine")
    (message,) = caplog.messages
    assert "Whether the engine holds round_1 or round_0 cannot be told: on" in message
    assert "It was told to load the policy and said that it has, so the run goes on." in message


def test_what_cannot_be_told_of_an_engine_that_was_told_nothing_is_refused(after, probe_of):
    new = after(STEPS["unseen"])
    probe = probe_of(new)
    with pytest.raises(RunError, match="Nobody told it to load the policy: start it again, on round_1"):
        probe.check(rows(copy.deepcopy(new).float(), probe.prompts), "It", told=False)


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_an_engine_that_still_answers_to_the_last_bit_is_refused(old, after, probe_of, steps):
    """However small the difference: what it answered with the old weights is known."""
    new = after(steps)
    probe = probe_of(new)
    answers = rows(copy.deepcopy(old).float(), probe.prompts)
    probe.earlier[0].check(answers, "It")
    with pytest.raises(RunError, match="to the last bit those that it gave with round_0"):
        probe.check(answers, "It")
    probe.check(rows(copy.deepcopy(new).float(), probe.prompts), "It")


def test_probes_are_compared_by_the_prompts_of_the_first(loaded, old, after, prompts):
    first = Probe.of(replace(loaded(old), path="round_0"), prompts[:3], 0.05)
    second = Probe.of(replace(loaded(after(40)), path="round_1"), prompts[3:], 0.05, [first])
    assert second.prompts == first.prompts
    again = Probe.of(replace(loaded(old), path="round_0"), prompts[3:], 0.05, [first])
    assert again.earlier == ()


def test_the_statistic_is_honest():
    """By chance it hardly ever decides, whatever the scale and also where neighbours' errors are the same."""
    random = np.random.default_rng(0)
    values = []
    for _ in range(4000):
        noise = random.standard_t(3, size=400).repeat(2) * random.lognormal(sigma=2)
        values.append(lean(noise, random.normal(size=800)))
    assert np.mean(np.abs(values) > 2) == pytest.approx(0.0455, abs=0.02)
    assert np.mean(np.abs(values) > DECIDED) < 3e-4
    few = np.ones(15 * 8)
    assert lean(few, few) < DECIDED
    assert lean(np.zeros(8), few[:8]) == 0


def test_it_is_as_decided_for_the_one_as_for_the_other():
    random = np.random.default_rng(1)
    first, second = random.normal(size=(2, 400)) * 0.01
    noise = random.normal(size=400) * 0.02
    middle, difference = (first + second) / 2, first - second
    assert lean(first - middle + noise, difference) > DECIDED
    assert lean(second - middle - noise, difference) == -lean(first - middle + noise, difference)


def test_weights_further_away_than_the_tolerance_need_no_statistic():
    few = np.array([-1.0, -2.0])
    assert compare(few, few + 1e-4, Rival("round_0", few + 0.3, None), "round_1", "It", 0.05) is None


@pytest.fixture
def served(loaded, old, after):
    """A server that was started on round 0's weights, and the policies by path; it computes with other rounding."""
    own = {
        path: LoadedModel(model, loaded(model).renderer, path)
        for path, model in (("round_0", old), ("round_1", after(STEPS["unseen"])))
    }
    theirs = {path: replace(policy, model=copy.deepcopy(policy.model).float()) for path, policy in own.items()}
    server = StandInServer(theirs, "round_0")
    yield server, own
    server.stop()


def sample(sampler, policy):
    try:
        return sampler.sample(policy, [Prompt(str(i), "en", text, text) for i, text in enumerate(TEXTS)], (0,))
    finally:
        sampler.release()


def sampler_of(server) -> VLLMServerSampler:
    return VLLMServerSampler(n=1, temperature=0, max_new_tokens=2, urls=(server.url,), retries=1)


def test_a_server_that_only_says_that_it_has_loaded(served):
    server, own = served
    sampler = sampler_of(server)
    sample(sampler, own["round_0"])
    server.deaf = True
    with pytest.raises(RunError, match=r"does not hold the weights of round_1.* to the last bit those .* with round_0"):
        sample(sampler, own["round_1"])
    server.deaf = False
    sample(sampler, own["round_1"])


@pytest.mark.parametrize("deaf", [False, True])
def test_a_server_that_answers_as_before_it_was_told_to_load(served, caplog, deaf):
    """Of a run that goes on in a new process, which knows no other log-probs than the server's own."""
    server, own = served
    server.deaf = deaf
    with caplog.at_level(logging.WARNING):
        sample(sampler_of(server), own["round_1"])
    assert ["to the last bit as what it held before did" in message for message in caplog.messages] == [True] * deaf


@pytest.mark.parametrize("ignored", [False, True])
def test_a_server_that_ignores_an_adapter(model_folder, make_model, tmp_path, ignored):
    """One whose effect is far below the tolerance."""
    base = str(model_folder("llama", 1))
    model = get_peft_model(make_model("llama", 1), LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                weights.mul_(1e-4)
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(tmp_path)
    policy, plain = Loader().load(str(tmp_path)), Loader().load(base)
    server = StandInServer({base: plain, str(tmp_path.resolve()): plain if ignored else policy}, base)
    try:
        if ignored:
            with pytest.raises(RunError, match="to the last bit those that it gave with the model under its adapter"):
                sample(sampler_of(server), policy)
        else:
            assert len(sample(sampler_of(server), policy)) == len(TEXTS)
    finally:
        server.stop()
