"""Operations against torch's own count, hours by hand, and a plan for every experiment."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from icr import config
from icr.config.messages import options
from icr.doctor.plan.architecture import architecture, described
from icr.doctor.plan.draws import PASSES, Draws
from icr.doctor.plan.flops import cost
from icr.doctor.plan.hardware import DEVICES, GIB, this_machine
from icr.doctor.plan.phases import Decoding
from icr.errors import ModelError
from icr.models.loading import Loader
from icr.pocket.assets import folder
from tests.tiny_models import FAMILIES, SHAPE

ROOT = Path(__file__).parents[2]
SMALL_BATCH = "scoring.tokens_per_batch=2048"
"""Where scoring is not what a test is about: a CPU's pass is rehearsed prompt by prompt, and takes a while."""
SHALLOW = ("model.shape.num_hidden_layers=4", "model.shape.vocab_size=16032")
"""Of the paper's model, an eighth: the whole is planned in a test of its own."""


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "tied", "gpt2"])
def test_flops_are_those_that_torch_counts(family):
    type_ = "llama" if family == "tied" else family
    shape = AutoConfig.for_model(type_, **{**SHAPE, **FAMILIES[family], "sliding_window": 64})
    model = AutoModelForCausalLM.from_config(shape, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.zeros(2, 24, dtype=torch.long)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False)
    own = cost(model, shape).forward(tokens=48, predicted=48, pairs=2 * 24**2)
    # Beside the matrices there are rotary angles alone: 24 positions × half a head size.
    assert own == pytest.approx(counter.get_total_flops(), rel=0.002)


def test_cost_of_a_cache():
    shape = AutoConfig.for_model("llama", **SHAPE)
    model = AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16)
    assert cost(model, shape).cache == 2 * 2 * 2 * 8 * 2  # keys and values × layers × heads × size × bytes


def test_decoding_takes_what_is_read_or_issued():
    device = DEVICES["A100"]
    weights = 16e9
    read = Decoding(steps=1000, weights=weights, cache=0, layers=0).seconds(device, 0.5, 0.001)
    assert read == pytest.approx(1000 * 16e9 / (0.5 * 2039e9))
    issued = Decoding(steps=1000, weights=weights, cache=0, layers=32).seconds(device, 0.5, 0.001)
    assert issued == pytest.approx(32.0)
    cache = Decoding(steps=0, weights=weights, cache=2039e9, layers=32).seconds(device, 0.5, 0.001)
    assert cache == pytest.approx(2.0)


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_draws_are_timed_here_and_counted_elsewhere(top_p):
    draws = Draws(tokens=1000, vocabulary=65536, temperature=1.0, top_p=top_p, top_k=None)
    counted = draws.seconds(DEVICES["A100"], 1e12)
    assert counted == pytest.approx(1000 * 65536 * 4 * PASSES / 1e12)
    here = this_machine("cpu")
    timed = draws.seconds(here, 1.0)
    assert counted < timed, "one CPU is slower than an A100"
    assert replace(draws, tokens=0).seconds(here, 1.0) == 0
    decoding = Decoding(steps=0, weights=0, cache=0, layers=0, draws=draws)
    assert decoding.seconds(DEVICES["A100"], 0.5, 0.0) == pytest.approx(draws.seconds(DEVICES["A100"], 0.5 * 2039e9))


def test_this_machine_is_measured():
    device = this_machine("cpu")
    assert device.here == "cpu"
    assert 2**30 < device.memory < 2**46
    assert 1e8 < device.flops["float32"] < 1e15
    assert 1e8 < device.bandwidth < 1e13


def test_a_plan_adds_up(examine):
    given = ("trainer.devices=2", "sampling.n=3", "controls=standard", SMALL_BATCH)
    seen = examine("plan", "doctor.devices=[A100]", *given)
    assert "2 controls are runs of their own and not counted" in seen.output
    plan = seen.results["plan"]
    phases = {phase["phase"]: phase for phase in plan["phases"]}
    assert list(phases) == ["sampling", "scoring", "reference", "training", "evaluation"]
    trained, all_ = 277152, 348576  # The embedding is frozen.
    assert plan["parameters"] == all_
    memory = phases["training"]["memory"]
    assert (memory["weights"], memory["gradients"]) == (4 * all_, 4 * trained)
    assert memory["optimiser"] == pytest.approx(8 * trained, rel=0.001)
    assert phases["scoring"]["memory"]["weights"] == 3 * 4 * all_
    assert memory["total"] == sum(memory[part] for part in ("weights", "gradients", "optimiser", "working"))
    assert plan["fits"] == {"A100": True}
    assert plan["devices"] == 2
    assert seen.status == 0


def test_a_plan_without_a_prompt_that_fits(examine):
    seen = examine("plan", "sampling.max_new_tokens=250")
    assert seen.status == 2
    assert "no prompt fits a context of 256 tokens less sampling.max_new_tokens=250" in seen.errors
    assert examine("sampling.max_new_tokens=250").failures() == ["context"]


def test_a_plan_for_pairs_that_are_given_goes_by_their_answers(examine, tmp_path):
    """Each word is a token of its own here, with an end of turn behind each answer."""
    rows = [("a b", "c d e", "f"), ("a", "b c", "d e f g h"), ("a", "b", "c " * 300)]
    pairs = [{"prompt": prompt, "chosen": chosen, "rejected": rejected} for prompt, chosen, rejected in rows]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    given = ("stage=english_dpo", "data=preferences", "data.file=pairs.jsonl", f"model.path={folder('sft')}")
    seen = examine("plan", *given)
    phases = {phase["phase"]: phase for phase in seen.results["plan"]["phases"]}
    assert list(phases) == ["reference", "training"]
    assert "responses of 6" in seen.output
    assert "1 of 3 prompts do not fit" in examine("check", *given).output
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pairs[-1]), encoding="utf-8")
    assert "no prompt fits a context of 256 tokens with the answers that are given" in examine("plan", *given).errors


def test_what_a_strategy_splits_is_split_in_the_plan(examine):
    plans = [
        examine("plan", "doctor.devices=[]", "trainer.devices=4", SMALL_BATCH, f"strategy={name}")
        for name in ("ddp", "fsdp2")
    ]
    whole, split = (
        next(phase["memory"] for phase in seen.results["plan"]["phases"] if phase["phase"] == "training")
        for seen in plans
    )
    for part in ("gradients", "optimiser"):
        assert split[part] == pytest.approx(whole[part] / 4)
    layer = 4 * (277152 - 96) / 3  # All that is trained but the last norm, in three layers.
    assert split["weights"] == whole["weights"] / 4 + 2 * layer
    before = [
        [phase["memory"]["weights"] for phase in seen.results["plan"]["phases"] if phase["phase"] != "training"]
        for seen in plans
    ]
    assert before[0] == before[1], "a round's data are made before anything is split"


def test_a_reward_prompt_that_samples_is_a_phase(examine):
    names = {}
    for translator in ("translate", "translate_lexicon"):
        seen = examine("plan", "doctor.devices=[]", SMALL_BATCH, f"reward_prompt={translator}")
        names[translator] = [phase["phase"] for phase in seen.results["plan"]["phases"]]
    assert names["translate"][:3] == ["sampling", "translation", "scoring"]
    assert "translation" not in names["translate_lexicon"]


def test_a_model_too_large_for_a_device_is_said_to_be(examine):
    shape = ["hidden_size=4096", "num_hidden_layers=4", "vocab_size=128256", "max_position_embeddings=4096"]
    overrides = [f"+model.shape.{text}" for text in ("model_type=llama", *shape)]
    pair = ["model.path=nobody/policy", "reward_pair.reference=nobody/reference"]
    seen = examine("plan", "data=parallel", *pair, *overrides, "doctor.devices=[RTX4090]", "doctor.prompts=10")
    plan = seen.results["plan"]
    assert plan["fits"] == {"RTX4090": False}
    assert max(phase["memory"]["total"] for phase in plan["phases"]) > 24 * GIB
    notes = " ".join(plan["notes"])
    assert "10 prompts per language of 180 tokens are assumed" in notes
    assert "nobody/policy is not on this machine" in notes


def test_a_model_that_is_neither_here_nor_described(examine):
    seen = examine("plan", "data=parallel", "model.path=nobody/policy", "reward_pair.reference=nobody/reference")
    assert seen.status == 2
    assert "The configuration of nobody/policy is not on this machine" in seen.errors


def test_a_shape_is_held_against_the_model():
    own = architecture(str(folder("sft")), {"model_type": "llama", "hidden_size": 3}, Loader())
    assert own.local
    assert own.differences == (f"hidden_size: {own.config.hidden_size} in the model, 3 in model.shape",)


@pytest.mark.parametrize("shape", [{}, {"model_type": "lama"}, {"model_type": "llama", "hidden_size": "wide"}])
def test_a_shape_that_is_none(shape):
    with pytest.raises(ModelError, match=r"model\.shape"):
        described(shape)


ALIKE = ("paper_1000_prompts", "paper_5000_prompts", "paper_low_resource", "paper_multilingual", "paper_without_nll")
"""Experiments that are planned as `paper_dpo` is, but for numbers of prompts and languages."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ALIKE else [])
        for name in options(config.conf_dir(), "experiment")
    ],
)
def test_every_experiment_prints_a_plan(name, examine):
    less = SHALLOW if name.startswith("paper_") else ()
    seen = examine("plan", f"experiment={name}", "doctor.devices=[H100]", *less)
    assert seen.status == 0, seen.errors
    assert "A round of" in seen.output
    assert seen.results["plan"]["phases"]
    assert all(phase["memory"]["total"] > 0 for phase in seen.results["plan"]["phases"])


def test_the_papers_experiment_fits_eight_devices_of_80_gigabytes(examine):
    """The README's command for several devices."""
    less = ["strategy=fsdp2", "trainer.gradient_checkpointing=true", "reward_pair.residency=one"]
    seen = examine("plan", "experiment=paper_dpo", "trainer.devices=8", *less, "doctor.devices=[A100,H100]")
    plan = seen.results["plan"]
    assert plan["fits"] == {"A100": True, "H100": True}
    assert max(phase["memory"]["total"] for phase in plan["phases"]) < 60 * GIB


@pytest.mark.slow
@pytest.mark.parametrize("case", ["adamw", "qlora"])
def test_planned_memory_is_what_is_measured(case, tmp_path):
    written = tmp_path / "measured.json"
    command = [sys.executable, str(ROOT / "experiments/plan/measure.py"), "--only", case, "--json", str(written)]
    subprocess.run(command, check=True, timeout=900)
    for row in json.loads(written.read_text(encoding="utf-8")):
        assert row["planned"] == pytest.approx(row["measured"], rel=0.2), row
