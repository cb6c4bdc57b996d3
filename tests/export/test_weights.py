"""What is exported loads by itself, and says what the run's model says."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from icr.errors import ConfigError, ModelError, RunError
from icr.export import export_weights, finished_run
from icr.rundir import manifest

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing", "ignore:Could not find a config file")
"""Raised within peft, where the tests use it themselves."""

MESSAGES = [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "Nile — نيل"}]


def logps(model, tokenizer) -> torch.Tensor:
    """Log-prob of each token of a conversation, given those before it."""
    ids = tokenizer.apply_chat_template(MESSAGES, return_tensors="pt", return_dict=False)
    with torch.no_grad():
        scores = model(ids).logits.float().log_softmax(-1)
    return scores[0, :-1].gather(1, ids[0, 1:, None]).squeeze(1)


def loaded(folder, **options) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, **{"dtype": "auto", **options})
    return logps(model.eval(), AutoTokenizer.from_pretrained(folder))


def test_a_whole_model_gives_the_same_log_probs_and_keeps_its_generation_config(finished, model_folder, tmp_path):
    model = shutil.copytree(model_folder(seed=1), tmp_path / "model")
    settings = model / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"temperature": 0.6, "do_sample": True}))
    directory = finished(round_1=model)
    export_weights(finished_run(directory), tmp_path / "out", merge=False)
    assert torch.equal(loaded(tmp_path / "out"), loaded(directory / "round_1/model"))
    assert not torch.equal(loaded(tmp_path / "out"), loaded(directory / "round_0/model"))
    assert json.loads((tmp_path / "out/generation_config.json").read_text())["temperature"] == 0.6


def test_shards_and_dtype(finished, tmp_path):
    directory = finished()
    export_weights(finished_run(directory, 0), tmp_path / "out", merge=True, dtype="bfloat16", shard_size="20KB")
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "bfloat16"
    expected = loaded(directory / "round_0/model", dtype=torch.bfloat16)
    assert torch.equal(loaded(tmp_path / "out"), expected)


def test_a_merged_adapter_is_a_whole_model_that_says_what_the_adapter_says(finished, adapter, tmp_path):
    from peft import PeftModel

    base, folder = adapter()
    export_weights(finished_run(finished(round_1=folder)), tmp_path / "out", merge=True)
    assert not (tmp_path / "out/adapter_config.json").exists()
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()
    expected = logps(model, AutoTokenizer.from_pretrained(folder))
    torch.testing.assert_close(loaded(tmp_path / "out"), expected, atol=1e-5, rtol=0)
    assert (loaded(base) - expected).abs().max() > 0.1


def test_merging_is_done_in_float32_and_ends_in_the_bases_dtype(finished, adapter, tmp_path):
    _, folder = adapter("bfloat16")
    directory = finished(round_1=folder)
    export_weights(finished_run(directory), tmp_path / "half", merge=True)
    export_weights(finished_run(directory), tmp_path / "full", merge=True, dtype="float32")
    half = AutoModelForCausalLM.from_pretrained(tmp_path / "half", dtype="auto").state_dict()
    full = AutoModelForCausalLM.from_pretrained(tmp_path / "full", dtype="auto").state_dict()
    assert {weights.dtype for weights in half.values()} == {torch.bfloat16}
    assert all(torch.equal(half[name], full[name].to(torch.bfloat16)) for name in half)


def test_an_adapter_on_an_adapter_is_merged_all_the_way(finished, adapter, tmp_path):
    from peft import LoraConfig, PeftModel, get_peft_model

    base, first = adapter()
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), first).merge_and_unload()
    second = get_peft_model(model, LoraConfig(r=2, target_modules=["k_proj"]))
    for name, parameter in second.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    expected = logps(second.eval(), AutoTokenizer.from_pretrained(first))
    second.peft_config["default"].base_model_name_or_path = str(first)
    second.save_pretrained(tmp_path / "second")
    AutoTokenizer.from_pretrained(first).save_pretrained(tmp_path / "second")
    export_weights(finished_run(finished(round_1=tmp_path / "second")), tmp_path / "out", merge=True)
    torch.testing.assert_close(loaded(tmp_path / "out"), expected, atol=1e-5, rtol=0)


def test_an_adapter_may_stay_one(finished, adapter, tmp_path):
    _, folder = adapter()
    run = finished_run(finished(round_1=folder))
    export_weights(run, tmp_path / "out", merge=False)
    assert torch.equal(loaded(tmp_path / "out"), loaded(folder))
    with pytest.raises(ConfigError, match="--dtype bfloat16: an adapter is exported as it is; --merge makes"):
        export_weights(run, tmp_path / "other", merge=False, dtype="bfloat16")


def test_the_tokenizer_knows_no_folder_of_this_machine(finished, tmp_path):
    export_weights(finished_run(finished()), tmp_path / "out", merge=False)
    settings = json.loads((tmp_path / "out/tokenizer_config.json").read_text())
    assert not {"is_local", "local_files_only", "name_or_path"} & settings.keys()
    texts = [path.read_text() for path in (tmp_path / "out").iterdir() if path.suffix in (".json", ".jinja")]
    assert all(str(tmp_path) not in text for text in texts)


def test_nothing_is_written_over(finished, tmp_path):
    (tmp_path / "out").mkdir()
    run = finished_run(finished())
    export_weights(run, tmp_path / "out", merge=False)
    with pytest.raises(RunError, match=r"--to: .*/out is there already and not empty"):
        export_weights(run, tmp_path / "out", merge=False)


@pytest.mark.parametrize("dtype", ["float3", "int8", "nn"])
def test_a_dtype_that_is_none(dtype, finished, tmp_path):
    with pytest.raises(ConfigError, match="--dtype must be one such as float32, bfloat16 or float16"):
        export_weights(finished_run(finished()), tmp_path / "out", merge=False, dtype=dtype)


def test_a_base_that_is_gone(finished, adapter, tmp_path):
    base, folder = adapter()
    base.rename(tmp_path / "moved")
    with pytest.raises(ModelError, match=r"The model folder .*/base does not exist"):
        export_weights(finished_run(finished(round_1=folder)), tmp_path / "out", merge=True)


def test_the_round_is_the_last_complete_one(finished):
    directory = finished()
    assert (finished_run(directory).round, finished_run(directory).name) == (1, "M1")
    assert finished_run(directory, 0).model == directory / "round_0/model"
    with pytest.raises(RunError, match=r"--round: .* has no complete model of round 2; complete rounds: 0, 1"):
        finished_run(directory, 2)
    found = manifest.read(directory / "manifest.json")
    del found["stages"]["round_1/model"]
    manifest.write(directory / "manifest.json", found)
    assert finished_run(directory).round == 0


def test_a_run_without_a_model(tmp_path):
    (tmp_path / "round_0").mkdir()
    with pytest.raises(RunError, match="has no round with a complete model yet"):
        finished_run(tmp_path)
    with pytest.raises(RunError, match="is not a folder"):
        finished_run(tmp_path / "none")
