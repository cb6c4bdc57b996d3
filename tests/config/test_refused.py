"""Settings that are refused before a model is loaded: each in one sentence that names the key and what would do."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from icr import config
from icr.errors import ConfigError

NO_MODELS = ["model.path=/nonexistent/policy", "model.reference=/nonexistent/sft"]

REFUSED = {
    "iterations=0": "iterations must be at least 1 and at most 1000, got 0",
    "iterations=two": "iterations must be a whole number, got 'two'",
    "iterations=1.5": "iterations must be a whole number, got 1.5",
    "iterations=null": "iterations must be a whole number, got None",
    "seed=x": "seed must be a whole number, got 'x'",
    "sampling.n=1": "sampling.n must be at least 2, got 1: a pair needs two responses",
    "sampling.n=many": "sampling.n must be a whole number, got 'many'",
    "sampling.temperature=hot": "sampling.temperature must be a number, got 'hot'",
    "sampling.temperature=-1": "sampling.temperature must be at least 0, got -1",
    "sampling.top_p=0": "sampling.top_p must be above 0 and at most 1",
    "sampling.top_k=x": "sampling.top_k must be a whole number or null, got 'x'",
    "sampling.max_new_tokens=0": "sampling.max_new_tokens must be a whole number of at least 1",
    "logger=wandb logger.samples=-1": "logger.samples must be 0 or more, got -1",
    "logger=mlflow logger.uri=https://token@host": "logger.uri holds a user or a password, which the run",
    "gate=agreement reward=judge": "gate: AgreementGate compares rewards under two reward prompts, and JudgeReward is",
    "gate=agreement reward_prompt=multilingual": "gate.reward_prompt is the run's own (multilingual), so that both",
    "reward=model": "reward.path must be given, as in reward.path=<value>",
    "reward=model reward.path=x reward.dtype=float3": "reward.dtype must be a torch dtype such as float32",
    "pairing=band pairing.deviations=-1": "pairing.deviations must be at least 0, got -1",
    "loss=ld_dpo loss.tail_weight=2": "loss.tail_weight must be at least 0 and at most 1, got 2",
    "replay.share=1": "replay.share must be at least 0 and below 1, got 1",
    "replay=file": "replay.file must be given, as in replay.file=<value>",
    "stage=sft data=pocket_demonstrations replay.share=0.5": "replay.share=0.5 mixes pairs into rounds that sample",
    "loss.alpha=-1": "loss.alpha must be at least 0, got -1",
    "loss.beta=0": "loss.beta must be above 0, got 0",
    "loss.beta=abc": "loss.beta must be a number, got 'abc'",
    "loss.beta=null": "loss.beta must be a number, got None",
    "loss.nll_reduction=mean": "loss.nll_reduction must be one of sequence, token, sum, got 'mean'",
    "+loss.apha=1": "loss.apha is not a setting of DPO. Did you mean loss.alpha?",
    "sampling=_decoding": "sampling names no class, as sampling._target_. Choose an option of sampling that does",
    "optim=_adamw": "optim.optimizer names no class, as optim.optimizer._target_. Choose an option of optim that does",
    "loss._target_=icr.losses.DPQ": "loss._target_: icr.losses.DPQ cannot be imported",
    "reward.beta=inf": "reward.beta must be a finite number, got inf",
    "reward.token_clip=nan": "reward.token_clip must be a finite number or null, got nan",
    "trainer.gradient_clip=nan": "trainer.gradient_clip must be a finite number (0 is off), got nan",
    "trainer.threads=-1": "trainer.threads must be a whole number of at least 1 or null, got -1",
    "optim.lr=inf": "optim.lr must be a finite number, got inf",
    "reward.beta=0": "reward.beta must be above 0, got 0",
    "trainer.global_batch_size=x": "trainer.global_batch_size must be a whole number, got 'x'",
    "trainer.global_batch_size=0": "trainer.global_batch_size must be a whole number of at least 1, got 0",
    "trainer.precision=banana": "trainer.precision must be one of 32-true, bf16-true",
    "trainer.accelerator=tpuu": "trainer.accelerator must be one of auto, cpu, gpu",
    "trainer.devices=many": "trainer.devices must be a number of devices, auto",
    "+trainer.epoch=1": "trainer.epoch is not a setting. Did you mean trainer.epochs?",
    "optim.lr=fast": "optim.lr must be a number, got 'fast'",
    "optim.lr=0": "optim.lr must be above 0, got 0",
    "optim.schedule=cosin": "optim.schedule must be constant, linear or cosine, got 'cosin'",
    "optim.warmup_ratio=2": "optim.warmup_ratio must be at least 0 and below 1",
    "optim.optimizer.betas=3": "optim.optimizer.betas must be a list, as in [a,b], got 3",
    "optim.optimizer.eps=-1": "optim.optimizer: Invalid epsilon value",
    "length_control.unit=words": "length_control.unit must be one of tokens, characters, bytes, got 'words'",
    "pairing.minimum_margin=x": "pairing.minimum_margin must be a number or null, got 'x'",
    "reward_prompt.template=hello": "reward_prompt.template must contain {instruction}",
    "reward_prompt.template=3": "reward_prompt.template must be a text, got 3",
    "reward_pair.policy_round=now": "reward_pair.policy_round must be initial or current, got 'now'",
    "reward_pair.reference_round=previous": "reward_pair: reference_round=previous needs policy_round=current",
    "training_reference=x": "training_reference must be one of round_start, policy, reference, got 'x'",
    "scoring.tokens_per_batch=0": "scoring.tokens_per_batch must be a whole number of at least 1, got 0",
    "model.path=3": "model.path must be a text, got 3",
    "model.from_scratch=maybe": "model.from_scratch must be true or false, got 'maybe'",
    "model.loader.dtype=float3": "model.loader.dtype must be a torch dtype such as float32 or bfloat16, got 'float3'",
    "model.loader.frozen=embed": "model.loader.frozen must be a list, as in [a,b], got 'embed'",
    "model.loader.attn_implementation=flex_attention trainer.accelerator=cpu": "has no backward pass on a CPU",
    "langs.codes=[en,sww]": "langs.codes: 'sww' is not a known language code. Did you mean sw?",
    "langs.codes=[en,en]": "langs.codes names 'en' twice",
    "langs.codes=en": "langs.codes must be a list, as in [a,b], got 'en'",
    "langs.codes=[]": "langs.codes is empty",
    "langs.codes=[en,false]": "YAML reads a bare no as false: write 'no'",
    "langs.names=3": "langs.names must be a group of settings, got 3",
    "data.prompts_per_language=x": "data.prompts_per_language must be a whole number or null, got 'x'",
    "evaluation.n=0": "evaluation (n and sampling): sampling.n must be a whole number of at least 1",
    "+evaluation.sampling.temprature=0": "sampling.temprature is not a setting of TransformersSampler. Did you mean",
    "stage=sft": "cannot feed stage=sft, which needs demonstrations. Choose another with data=<option>",
    "reward=judge judge=none evaluation=none": "reward.judge is missing: reward=judge takes the run's judge; add judge",
    "judge=none": "evaluation.judge is missing: answers are compared by a judge; add judge=<option>, such as",
    "+judge.malform=1": "judge.malform is not a setting of PocketJudge. Did you mean judge.malformed?",
    "evaluation.references.skill=2": "evaluation.references.skill must be at least 0 and at most 1, got 2",
    "evaluation=none +evaluation.n=2": "evaluation.n is not a setting",
    "+iteration=3": "iteration is not a setting. Did you mean iterations?",
    "+foo=1": "foo is not a setting.",
    "+scoring.tokens=3": "scoring.tokens is not a setting. Did you mean scoring.tokens_per_batch?",
    "+stage.splitt=x": "stage.splitt is not a setting of ICR. Did you mean stage.split?",
    "adapter=lora adapter.r=0": "adapter.r must be a whole number of at least 1, got 0",
    "adapter=lora adapter.r=x": "adapter.r must be a whole number, got 'x'",
    "adapter=lora adapter.alpha=0": "adapter.alpha must be above 0, got 0",
    "adapter=lora adapter.target_modules=[]": "adapter.target_modules must be all-linear or a list, as in",
    "adapter=lora +adapter.dropout=0.1": "adapter.dropout is not a setting of Lora",
    "adapter=qlora adapter.quantisation.type=int4": "adapter.quantisation.type must be nf4 or fp4, got 'int4'",
    "adapter=none +adapter.r=8": "adapter.r is not a setting",
    "adapter=lora model.from_scratch=true": "model.from_scratch: random weights are trained as a whole",
    "adapter=lora trainer.precision=bf16-true": "trainer.precision=bf16-true would round the adapter too",
    "reward_pair.residency=two": "reward_pair.residency must be both or one, got 'two'",
    "trainer.gradient_checkpointing=1": "trainer.gradient_checkpointing must be true or false, got 1",
    "optim.optimizer.fused=true trainer.precision=bf16-mixed": "optim.optimizer.fused: Lightning clips no gradients",
    "optim=adamw8bit optim.lr=0": "optim.lr must be above 0, got 0",
    "trainer.num_nodes=0": "trainer.num_nodes must be a whole number of at least 1, got 0",
    "+strategy.stage=1": "strategy.stage is not a setting of DDP",
    "strategy=fsdp2 strategy.reshard_after_forward=2": "strategy.reshard_after_forward must be true or false, got 2",
    "trainer.precision=16-mixed model.loader.dtype=bfloat16 trainer.gradient_clip=0": "not go with model.loader.dtype",
    "trainer.precision=16-true optim.optimizer.fused=null": "optim.optimizer.eps=1e-08 is 0 in float16, which",
    "strategy=fsdp2 trainer.precision=64-true": "trainer.precision must be one of 32-true, bf16-true, bf16-mixed",
    "strategy=fsdp2 optim=adamw8bit": "optim: 8-bit optimisers cannot take weights that strategy=fsdp2 splits",
    "strategy=fsdp2 adapter=qlora": "adapter: strategy=fsdp2 cannot split 4-bit weights",
    "strategy=deepspeed strategy.stage=3": "strategy.stage must be 1 or 2, got 3",
    "loss.beta=${nope}": "loss.beta does not resolve: Interpolation key 'nope' not found",
    "data=parallel data.dir=x data.on_missing=skip": "data.on_missing must be error or drop, got 'skip'",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_refused_with_the_key_named(overrides, compose):
    with pytest.raises(ConfigError) as refused:
        config.build(compose(*NO_MODELS, *overrides.split()))
    message = str(refused.value)
    assert REFUSED[overrides] in message
    assert "\n" not in message
    assert message.endswith((".", "?"))
    assert ".." not in message


@pytest.mark.parametrize(
    ("overrides", "missing"),
    [
        (["data=parallel"], "model.path, model.reference, data.dir must be given"),
        (["data=parallel", "data.dir=x", "model.path=x"], "model.reference must be given"),
        (["data=parallel", "data.dir=x", "reward_pair.reference=x"], "model.path must be given"),
        (["data=demonstrations", "stage=sft", "model.path=x"], "data.file must be given"),
    ],
)
def test_what_must_be_given_is_listed(overrides, missing, compose):
    with pytest.raises(ConfigError, match=missing):
        config.build(compose(*overrides))


def test_sft_needs_no_second_response(compose):
    assert config.build(compose("stage=sft", "data=pocket_demonstrations", "sampling.n=1")).sampling.n == 1


@pytest.mark.parametrize(
    ("choice", "package", "extra"),
    [
        ("optim=adamw8bit", "bitsandbytes", "quantisation"),
        ("adapter=lora", "peft", "quantisation"),
        ("adapter=qlora", "bitsandbytes", "quantisation"),
        ("strategy=deepspeed", "deepspeed", "deepspeed"),
    ],
)
def test_a_missing_extra_is_named(choice, package, extra, compose, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError) as refused:
        config.build(compose(*NO_MODELS, choice))
    assert f"needs {package}, which is not installed: pip install 'icr[{extra}]'." in str(refused.value)
    assert "\n" not in str(refused.value)
