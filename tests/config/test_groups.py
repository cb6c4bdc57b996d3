"""Every file of conf/ composes, and builds everything but the models."""

from __future__ import annotations

import pytest
import yaml

from icr import config
from icr.config.help import groups, settings
from icr.config.messages import options

CONF = config.conf_dir()
GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "cluster")
"""All but `cluster`, whose options need plugins of Hydra: see test_cluster.py."""
PAPER = [name for name in options(CONF, "experiment") if name.startswith("paper_")]
PRESETS = [name for name in options(CONF, "model") if name != "hf" and not name.startswith("pocket")]
"""Models that are named with their prompt format and shape."""
OWN = ["data=parallel", "data.dir=prompts", "model.path=policy"]
"""What the README tells users with their own files to type, but for the reference."""

NEEDED = {
    "data=demonstrations": ["stage=sft", "data.file=demonstrations.jsonl", "model.path=base"],
    "data=parallel": ["data.dir=prompts", "model.path=policy", "reward_pair.reference=sft"],
    "data=pocket_demonstrations": ["stage=sft"],
    "evaluation=m_arena_hard": ["evaluation.prompts.dir=prompts", "evaluation.references.files='{language}.jsonl'"],
    "evaluation=parallel": ["evaluation.prompts.dir=prompts", "evaluation.references.files='{language}.json'"],
    "evaluation=x_alpacaeval": ["evaluation.prompts.dir=prompts", "evaluation.references.files='{language}.json'"],
    "data=preferences": ["stage=english_dpo", "data.file=preferences.jsonl", "model.path=sft"],
    "judge=none": ["evaluation=none"],
    **{f"judge={name}": ["~evaluation.reward_prompts"] for name in ("gpt4.1", "gpt4_1106")},
    **{f"judge={name}": ["~evaluation.reward_prompts", "judge.endpoint.model=m"] for name in ("openai", "vllm")},
    "model=hf": ["model.path=policy", "model.reference=sft", "data=parallel", "data.dir=prompts"],
    **{f"model={name}": ["data=parallel", "data.dir=prompts"] for name in PRESETS},
    "sampling=vllm_server": ["sampling.urls=[http://localhost:8000]"],
    "replay=file": ["replay.file=preferences.jsonl"],
    "reward=model": ["reward.path=reward"],
    "stage=sft": ["data=pocket_demonstrations"],
    **{f"experiment={name}": ["data.dir=prompts"] for name in PAPER},
}


ABSENT = {"strategy=deepspeed"}
"""Needs what only machines with CUDA can install; tests/config/test_refused.py has what is said there."""

MEASURED = {
    "benchmark=answers": ["model=pocket", "evaluation=pocket"],
    "benchmark=lm_eval": ["model=pocket"],
    "benchmark=mt_bench": ["model=pocket", "benchmark.questions.dir=mt_bench"],
    "benchmark=preferences": ["model=pocket", "benchmark.labelled=preferences"],
    "benchmark=win_rate": ["data=pocket"],
}
"""What `icr evaluate` alone composes, and what that needs."""

CHOICES = (
    {f"{group}={option}" for group in GROUPS for option in options(CONF, group)}
    - ABSENT
    - MEASURED.keys()
    - {"data=none"}
)


@pytest.mark.parametrize("choice", sorted(CHOICES))
def test_every_option_composes_and_builds(choice, compose):
    settings = config.build(compose(choice, *NEEDED.get(choice, [])))
    assert settings.iterations >= 1
    assert set(settings.langs.codes) >= {"en"}


@pytest.mark.parametrize("choice", sorted(MEASURED))
def test_every_option_of_an_evaluation_composes_and_builds(choice, compose):
    settings = config.build_evaluation(compose(choice, *MEASURED[choice], name="evaluate"))
    assert choice.startswith(f"benchmark={settings.benchmark.name}")


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_every_file_says_what_it_is_for(path):
    first, second = [*path.read_text(encoding="utf-8").splitlines(), ""][:2]
    assert first.startswith("# ")
    assert len(second if first.startswith("# @package") else first) > 10
    assert yaml.safe_load(path.read_text(encoding="utf-8")) is not None


def test_what_options_are_built_on_is_no_option_and_its_comments_are_theirs(compose):
    assert options(CONF, "sampling") == ["pocket", "transformers", "vllm", "vllm_server"]
    assert options(CONF, "optim") == ["adamw", "adamw8bit", "paged_adamw8bit", "pocket"]
    assert "_decoding" not in groups(CONF)
    values = {"sampling.temperature": 0.9, "sampling.dtype": None, "sampling.urls": "???", "optim.lr": 5e-7}
    shown = settings(CONF, values, {"sampling": "vllm_server", "optim": "pocket"}).splitlines()
    for key, comment in {
        "temperature": "0 is greedy",  # two files below
        "dtype": "what vLLM computes in",
        "urls": "addresses of the servers",
        "lr": "peak learning rate",
    }.items():
        assert any(f".{key}=" in line and comment in line for line in shown)


def test_the_defaults_are_the_documented_ones(compose):
    settings = config.build(compose(*OWN, "model.reference=sft"))
    sampler, objective, pair = settings.sampling, settings.loss, settings.reward_pair
    assert (sampler.n, sampler.temperature, sampler.top_p, sampler.top_k) == (10, 0.9, 1.0, None)
    assert sampler.max_new_tokens == 2400
    assert (objective.beta, objective.alpha, objective.nll_reduction) == (0.1, 1.0, "sequence")
    assert type(objective).__name__ == "DPO"
    assert settings.reward.beta == 0.1
    assert not settings.reward.keep_truncated
    assert settings.reward_prompt.name == "crosslingual"
    assert (pair.policy, pair.reference) == ("policy", "sft")
    assert (pair.policy_round, pair.reference_round) == ("initial", "initial")
    assert pair.at(3, ["policy", "a", "b", "c"]) == ("policy", "sft")
    assert settings.training_reference == "round_start"
    assert settings.length_control.unit == "tokens"
    assert settings.length_control.upper_bound is None
    assert settings.iterations == 2
    assert settings.data.on_missing == "error"


def test_the_language_sets_are_the_papers(compose):
    sets = {name: config.build(compose(f"langs={name}")).langs.codes for name in options(CONF, "langs")}
    assert sets["high_resource"] == ["en", "es", "ru", "de", "fr"]
    assert sets["low_resource"] == ["en", "bn", "sw", "th"]
    assert set(sets["all"]) == {*sets["high_resource"], *sets["low_resource"]}
    assert sets["nine"] == [*sets["all"], "zh"]


def test_the_reference_may_be_given_under_either_name(compose):
    by_pair = config.build(compose(*OWN, "reward_pair.reference=sft"))
    by_model = config.build(compose(*OWN, "model.reference=sft"))
    assert by_pair.reward_pair == by_model.reward_pair
    assert by_pair.stage.baselines == {"sft": "sft", "dpo_en": "policy"}


def test_translators_of_the_translate_reward_prompt(compose):
    by_policy = config.build(compose("reward_prompt=translate", "sampling.max_new_tokens=7")).reward_prompt.translator
    assert (by_policy.sampler.temperature, by_policy.sampler.max_new_tokens) == (0, 7)
    by_lexicon = config.build(compose("reward_prompt=translate_lexicon", "reward_prompt.translator.noise=0.5"))
    assert by_lexicon.reward_prompt.translator.noise == 0.5


def test_the_wording_of_the_reward_prompt_is_configurable(compose):
    overrides = [
        "langs.codes=[en,tlh]",
        "+langs.names.tlh=Klingon",
        "reward_prompt.template='In {language}: {instruction}'",
    ]
    prompt = config.build(compose(*overrides)).reward_prompt
    assert (prompt.template, prompt.language_names["tlh"]) == ("In {language}: {instruction}", "Klingon")
