"""`conf/experiment/paper_*`: the settings that are known of the paper, and ablations that change one thing."""

from __future__ import annotations

import functools

import pytest
import torch
from omegaconf import OmegaConf

from icr import config
from icr.config.messages import options
from icr.errors import ConfigError
from icr.rundir import difference

NAMES = [name for name in options(config.conf_dir(), "experiment") if name.startswith("paper_")]
CHANGES = {
    "paper_kto": {"loss._target_", "loss.label_smoothing", "loss.desirable_weight", "loss.undesirable_weight"}
    | {"model.path", "reward_pair.policy", "stage.baselines.dpo_en"},
    "paper_low_resource": {"langs.codes"}
    | {f"reward_prompt.language_names.{code}" for code in ("es", "ru", "de", "fr", "bn", "sw", "th")},
    "paper_without_nll": {"loss.alpha"},
    "paper_multilingual": {"reward_prompt._target_", "reward_prompt.template", "reward_prompt.language_names"},
    "paper_translate": {"reward_prompt._target_", "reward_prompt.template", "reward_prompt.language_names"}
    | {"reward_prompt.translator"},
    "paper_previous_reference": {"reward_pair.policy_round", "reward_pair.reference_round"},
    "paper_1000_prompts": {"data.prompts_per_language"},
    "paper_5000_prompts": {"data.prompts_per_language"},
}
"""Settings in which each differs from paper_dpo."""


@pytest.fixture(scope="module")
def paper(compose):
    return functools.cache(lambda name: config.build(compose(f"experiment={name}", "data.dir=prompts")))


def test_the_main_result_has_the_known_settings(paper):
    settings = paper("paper_dpo")
    pair, sampler, loss = settings.reward_pair, settings.sampling, settings.loss
    assert (settings.model.path, pair.policy) == ("princeton-nlp/Llama-3-Base-8B-SFT-DPO",) * 2
    assert pair.reference == "princeton-nlp/Llama-3-Base-8B-SFT"
    assert (pair.policy_round, pair.reference_round) == ("initial", "initial")
    assert settings.langs.codes == ["en", "es", "ru", "de", "fr"]
    assert settings.data.prompts_per_language == 3000
    assert settings.iterations == 2
    assert (sampler.n, sampler.temperature, sampler.top_p, sampler.top_k) == (10, 0.9, 1.0, None)
    assert sampler.max_new_tokens == 2400
    assert (loss.beta, loss.alpha, settings.reward.beta) == (0.1, 1.0, 0.1)
    assert settings.trainer.global_batch_size == 32
    assert (settings.reward_prompt.name, settings.training_reference) == ("crosslingual", "round_start")


def test_every_experiment_of_the_paper_is_listed():
    assert {*CHANGES, "paper_dpo"} == set(NAMES)


@pytest.mark.parametrize("name", CHANGES)
def test_an_ablation_changes_what_it_is_about_and_nothing_else(name, compose):
    before, after = (
        OmegaConf.to_container(compose(f"experiment={choice}", "data.dir=prompts", "run.dir=x"), resolve=True)
        for choice in ("paper_dpo", name)
    )
    keys = {line.partition(": ")[0] for line in difference(before, after)}
    # The names of languages stand once more with the reward prompts that a diagnosis compares.
    assert {key for key in keys if not key.startswith("diagnosis.reward_prompts.crosslingual.language_names.")} == (
        CHANGES[name]
    )


def test_the_ablations_take_their_values(paper):
    kto = paper("paper_kto")
    assert type(kto.loss).__name__ == "KTO"
    assert kto.reward_pair.policy == kto.model.path == "princeton-nlp/Llama-3-Base-8B-SFT-KTO"
    assert paper("paper_low_resource").langs.codes == ["en", "bn", "sw", "th"]
    assert paper("paper_without_nll").loss.alpha == 0
    assert paper("paper_multilingual").reward_prompt.name == "multilingual"
    assert paper("paper_translate").reward_prompt.name == "translate"
    assert paper("paper_previous_reference").reward_pair.at(1, ["a", "b"]) == ("b", "a")
    assert [paper(f"paper_{n}_prompts").data.prompts_per_language for n in (1000, 5000)] == [1000, 5000]


@pytest.mark.parametrize("name", NAMES)
def test_the_prompts_are_the_users_to_give(name, compose):
    with pytest.raises(ConfigError, match=r"^data\.dir must be given, as in data\.dir=<value>"):
        config.build(compose(f"experiment={name}"))


def test_at_its_learning_rate_only_float32_weights_move(paper):
    settings = paper("paper_dpo")

    def moved(dtype: torch.dtype) -> float:
        weights = torch.nn.Parameter((torch.randn(20_000) * 0.02).to(dtype))
        before = weights.detach().clone()
        optimizer = settings.optim.optimizer([weights])
        for _ in range(20):
            weights.grad = torch.ones_like(weights)
            optimizer.step()
        return (weights != before).float().mean().item()

    assert settings.model.loader.dtype == "float32"
    assert settings.trainer.precision == "bf16-mixed"
    assert moved(torch.float32) > 0.99
    assert moved(torch.bfloat16) < 0.02
