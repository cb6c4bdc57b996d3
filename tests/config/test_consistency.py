"""Choices that compose, and do not belong together: a model with the settings of the embedded world."""

from __future__ import annotations

import pytest

from icr import config
from icr.errors import ConfigError

REFUSED = r"brings decoding, optimiser, trainer and judge that are made for models of the family 'pocket'"


@pytest.mark.parametrize("model", ["llama3_8b", "mistral_7b", "qwen2_5_7b", "gemma2_9b", "gemma3_270m"])
def test_a_large_model_alone_is_refused_and_the_message_says_what_to_add(model, compose):
    with pytest.raises(ConfigError, match=REFUSED) as refused:
        config.build(compose(f"model={model}"))
    message = str(refused.value)
    for added in ("data=parallel data.dir=<folder of <lang>.jsonl> langs=[en,es]", "experiment=paper_dpo data.dir="):
        assert added in message
    assert "\n" not in message


@pytest.mark.parametrize("data", ["pocket", "pocket_demonstrations stage=sft"])
def test_every_choice_of_data_that_brings_settings_says_for_whom(data, compose):
    with pytest.raises(ConfigError, match=REFUSED):
        config.build(
            compose(f"data={data.split()[0]}", *data.split()[1:], "model=hf", "model.path=x", "model.reference=y")
        )


@pytest.mark.parametrize(
    "choices",
    [
        ["model=llama3_8b", "data=parallel", "data.dir=prompts"],
        ["experiment=paper_dpo", "data.dir=prompts"],
        ["model=llama3_8b", "made_for=null"],
        ["model.path=runs/mine/round_1/model"],
    ],
    ids=" ".join,
)
def test_what_is_added_is_accepted(choices, compose):
    assert config.build(compose(*choices)).model.path


def test_with_prompts_of_ones_own_no_setting_of_the_embedded_world_is_left(compose):
    settings = config.build(compose("model=llama3_8b", "data=parallel", "data.dir=prompts"))
    assert (settings.optim.lr, settings.sampling.max_new_tokens, settings.trainer.accelerator) == (5e-7, 2400, "auto")
    assert settings.evaluation is None
