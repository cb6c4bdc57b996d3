"""GGUF files in a configuration: named beside `model.path`, and refused where they are of no use."""

from __future__ import annotations

import json

import pytest

from icr import config
from icr.errors import ConfigError
from icr.evaluate import job

PARALLEL = ["data=parallel", "data.dir=prompts"]
GEMMA = ["model=gemma3_270m", *PARALLEL]


def refused(cfg) -> str:
    with pytest.raises(ConfigError) as error:
        config.build(cfg)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_refers_to_the_path_means_the_file(compose):
    cfg = compose(*GEMMA, "model.path=models/gemma/", "model.gguf_file=Q4/x.gguf")
    settings = config.build(cfg)
    file = "models/gemma/Q4/x.gguf"
    assert settings.model.path == settings.reward_pair.policy == settings.reward_pair.reference == file
    assert settings.stage.baselines == {"sft": file, "dpo_en": file}
    assert settings.model.loader.chat_template.count("Question: ") == 2
    assert config.build(cfg).model.path == file  # It is as it was given, and may be built again.
    assert (cfg.model.path, cfg.model.gguf_file) == ("models/gemma/", "Q4/x.gguf")


def test_the_whole_path_says_the_same(compose):
    settings = config.build(compose(*GEMMA, "model.path=google/gemma/x.gguf"))
    assert settings.reward_pair.reference == "google/gemma/x.gguf"


def test_a_reference_of_its_own_stays_it(compose):
    own = ["model.path=a", "model.gguf_file=x.gguf", "model.reference=b/y.gguf"]
    assert config.build(compose(*GEMMA, *own)).reward_pair.reference == "b/y.gguf"


def test_an_evaluation_knows_it_too(compose):
    given = ["data=pocket", "model.path=a", "model.gguf_file=x.gguf"]
    assert config.build_evaluation(compose(*given, name="evaluate")).path == "a/x.gguf"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["model.gguf_file=x.bin"], "model.gguf_file must name a file of model.path that ends with .gguf, got 'x.bin'"),
        (["model.gguf_file=/x.gguf"], "model.gguf_file must name a file of model.path that ends with .gguf"),
        (["model.gguf_file=3"], "model.gguf_file must name a file of model.path that ends with .gguf, got 3"),
        (["model.path=a/x.gguf", "model.gguf_file=y.gguf"], "model.path=a/x.gguf names a GGUF file already"),
        (["model.gguf_file=x.gguf", "model.path=???"], "model.path must be given"),
    ],
)
def test_names_that_are_none(given, message, compose):
    assert message in refused(compose(*GEMMA, *given))


@pytest.mark.parametrize(
    ("choices", "what"),
    [
        (["sampling=vllm"], "Sampling by vLLM"),
        (["sampling=vllm_server", "sampling.urls=[http://localhost:8000]"], "Sampling by vLLM"),
        (["adapter=qlora"], "adapter=qlora"),
    ],
)
def test_uses_that_a_file_has_not(choices, what, compose, tmp_path):
    folders = ["model.path=a", "model.reference=b"]
    assert config.build(compose(*GEMMA, *choices, *folders))
    message = refused(compose(*GEMMA, *choices, "model.path=a/x.gguf", "model.reference=b"))
    assert message.startswith(f"{what} cannot take a GGUF file, and a/x.gguf is one.")
    assert "icr export a/x.gguf --to <folder>" in message
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "a/x.gguf"}))
    assert refused(compose(*GEMMA, *choices, f"model.path={tmp_path}", "model.reference=b")) == message


def test_a_reference_is_not_sampled_from_and_in_four_bits_only_if_all_is(compose):
    pair = ["model.path=a", "model.reference=b/y.gguf"]
    assert config.build(compose(*GEMMA, *pair, "sampling=vllm"))
    assert config.build(compose(*GEMMA, *pair, "adapter=qlora"))
    assert "b/y.gguf is one" in refused(compose(*GEMMA, *pair, "adapter=qlora", "adapter.quantisation.everything=true"))


def test_models_that_an_evaluation_samples_from(compose, gguf_model, tmp_path):
    file = gguf_model()
    measurement = config.build_evaluation(
        compose("data=pocket", "sampling=vllm", f"model.path={file}", name="evaluate")
    )
    with pytest.raises(ConfigError, match="Sampling by vLLM cannot take a GGUF file"):
        job.Evaluation(measurement, tmp_path, "cpu")
