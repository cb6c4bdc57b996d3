"""LoRA and QLoRA: what they compute, what is saved, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel

from icr.errors import ConfigError, ModelError
from icr.logps import score
from icr.models.adapters import Lora, Quantisation
from icr.models.configuration import context_length
from icr.models.folder import base_of
from icr.models.loading import LoadedModel, Loader

SEQUENCES = [(list(range(10, 30)), [40, 41, 42, 2]), (list(range(10, 30)), [50, 2]), ([7, 8], [9])]
TWO = Loader(adapter=Lora(r=2))


def logps(model: PreTrainedModel) -> np.ndarray:
    return np.concatenate(score(model, SEQUENCES, tokens_per_batch=100))


def by_hand(model: PreTrainedModel) -> np.ndarray:
    """The same by plain forward passes over logits."""
    values = []
    for prompt, response in SEQUENCES:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *response]])).logits[0].float()
        rows = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        values.append(rows[torch.arange(len(response)), torch.tensor(response)].numpy())
    return np.concatenate(values)


def moved(loaded: LoadedModel, seed: int = 0) -> LoadedModel:
    """With an adapter that has been trained, as it were."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in loaded.model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return loaded


@pytest.fixture
def saved(model_folder, tmp_path) -> str:
    """A trained adapter's folder."""
    moved(TWO.load_for_training(str(model_folder()), seed=0)).save(tmp_path / "adapter")
    return str(tmp_path / "adapter")


def edit(folder: str, **entries) -> None:
    path = Path(folder) / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize("family", ["llama", "tied", "gpt2", "gemma2"])
def test_a_fresh_adapter_changes_nothing_and_alone_is_trained(model_folder, family, recwarn):
    path = str(model_folder(family))
    state = torch.random.get_rng_state()
    start = TWO.load_for_training(path, seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(logps(start.model), logps(Loader().load(path).model))
    trained = [name for name, parameter in start.model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(".lora_" in name for name in trained)
    assert not recwarn.list


def test_a_fresh_adapter_depends_on_the_seed_alone(model_folder):
    def weights(seed):
        model = TWO.load_for_training(str(model_folder()), seed=seed).model
        return model.get_submodule("model.layers.0.self_attn.q_proj").lora_A["default"].weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_what_is_saved_is_pefts_and_comes_back(model_folder, tmp_path, family):
    base = str(model_folder(family))
    start = moved(TWO.load_for_training(base, seed=0))
    start.save(tmp_path / "adapter")
    folder = str(tmp_path / "adapter")
    assert base_of(folder) == base
    assert base_of(base) is None
    assert context_length(folder) == context_length(base)
    again = Loader().load(folder)
    assert (again.base, again.path) == (base, folder)
    assert np.array_equal(logps(again.model), logps(start.model))
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    np.testing.assert_allclose(logps(again.model), by_hand(theirs), atol=1e-5)
    assert np.abs(logps(again.model) - logps(Loader().load(base).model)).max() > 0.01
    assert again.renderer.prompt_ids("a") == Loader().load(base).renderer.prompt_ids("a")


@pytest.mark.parametrize("modules", ["all-linear", ("q_proj", "v_proj"), ("lm_head",), ("embed_tokens", "o_proj")])
def test_a_merged_model_is_an_ordinary_one(model_folder, tmp_path, modules):
    loader = Loader(adapter=Lora(r=2, target_modules=modules))
    start = moved(loader.load_for_training(str(model_folder()), seed=0))
    start.save(tmp_path / "adapter")
    merged = loader.load_merged(str(tmp_path / "adapter"))
    assert merged.base is None
    merged.save(tmp_path / "merged")
    assert not (tmp_path / "merged/adapter_config.json").exists()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    np.testing.assert_allclose(by_hand(model), logps(start.model), atol=2e-5)
    assert np.abs(logps(start.model) - logps(Loader().load(str(model_folder())).model)).max() > 0.01


def test_training_goes_on_with_an_adapter_or_with_all_weights(saved):
    onward = TWO.load_for_training(saved, seed=5)
    assert np.array_equal(logps(onward.model), logps(Loader().load(saved).model))
    assert all(p.requires_grad == (".lora_" in name) for name, p in onward.model.named_parameters())
    whole = Loader().load_for_training(saved, seed=5)
    assert whole.base is None
    assert all(p.requires_grad for p in whole.model.parameters())
    np.testing.assert_allclose(logps(whole.model), logps(onward.model), atol=2e-5)


def test_an_adapter_is_float32_on_bfloat16_weights(model_folder, tmp_path):
    loader = Loader(dtype="bfloat16", adapter=Lora(r=2))
    start = moved(loader.load_for_training(str(model_folder()), seed=0))
    dtypes = {".lora_" in name: p.dtype for name, p in start.model.named_parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    start.save(tmp_path / "adapter")
    again = loader.load(str(tmp_path / "adapter"))
    before, after = start.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("double", [True, False])
def test_an_adapter_on_4_bit_weights(model_folder, tmp_path, double):
    """Against the model whose weights are what bitsandbytes makes of the 4 bits."""
    base = str(model_folder("llama", hidden_size=64))
    loader = Loader(adapter=Lora(r=2, quantisation=Quantisation(double=double)))
    start = loader.load_for_training(base, seed=0)
    plain = AutoModelForCausalLM.from_pretrained(base)
    differences = []
    for name, layer in start.model.named_modules():
        if hasattr(layer, "base_layer"):
            quantised = layer.base_layer.weight
            assert quantised.dtype == torch.uint8
            values = dequantize_4bit(quantised.data, quantised.quant_state)
            own = plain.get_submodule(name).weight.data
            differences.append(float((own - values).norm() / own.norm()))
            own.copy_(values)
    assert len(differences) == 14
    # A normal distribution in NF4 with blocks of 64 is off by 9 % of its deviation.
    assert differences == pytest.approx([0.09] * 14, abs=0.01)
    np.testing.assert_allclose(logps(start.model), by_hand(plain), atol=1e-5)
    training = by_hand(start.model.train())
    np.testing.assert_allclose(training, logps(start.model), atol=1e-5)
    moved(start).save(tmp_path / "adapter")
    folder = str(tmp_path / "adapter")
    np.testing.assert_allclose(logps(loader.load(folder).model), logps(start.model), atol=1e-6)
    exact = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    np.testing.assert_allclose(logps(loader.load_merged(folder).model), by_hand(exact), atol=2e-5)


@pytest.mark.parametrize("everything", [False, True])
def test_which_models_are_in_4_bits(model_folder, tmp_path, everything):
    base = str(model_folder("llama", hidden_size=64))
    loader = Loader(adapter=Lora(r=2, quantisation=Quantisation(everything=everything)))
    assert bool(getattr(loader.load(base).model, "is_quantized", False)) == everything
    loader.load_for_training(base, seed=0).save(tmp_path / "adapter")
    assert loader.load(str(tmp_path / "adapter")).model.is_quantized


def test_layers_that_bitsandbytes_gets_wrong_on_a_cpu(model_folder):
    loader = Loader(adapter=Lora(quantisation=Quantisation()))
    with pytest.raises(ModelError, match="a layer has 32 inputs, and there bitsandbytes reads weights wrongly"):
        loader.load_for_training(str(model_folder()), seed=0)


def test_an_adapter_without_a_tokenizer_takes_its_models(saved, model_folder):
    for file in Path(saved).iterdir():
        if not file.name.startswith("adapter_"):
            file.unlink()
    ids = Loader().renderer(saved).prompt_ids("a")
    assert ids == Loader().renderer(str(model_folder())).prompt_ids("a")


def test_target_modules_that_the_model_has_not(model_folder):
    loader = Loader(adapter=Lora(target_modules=("q_prox",)))
    with pytest.raises(ModelError, match=r"adapter.target_modules: Target modules .*q_prox.* not found"):
        loader.load_for_training(str(model_folder()), seed=0)


def test_a_base_that_is_gone(saved, tmp_path):
    edit(saved, base_model_name_or_path=str(tmp_path / "gone"))
    with pytest.raises(ModelError) as error:
        Loader().renderer(saved)
    assert str(error.value) == (
        f"The adapter {saved} lies on another model: The model folder {tmp_path}/gone does not exist. Put it there, or "
        f"set base_model_name_or_path in its adapter_config.json."
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden_size": 64}, "shapes differ"),
        ({"num_hidden_layers": 1}, "has no counterpart|not found"),
        ({"num_hidden_layers": 3}, "no adapter|has no counterpart"),
    ],
    ids=["wider", "shallower", "deeper"],
)
def test_a_base_of_another_shape(saved, model_folder, config, message):
    edit(saved, base_model_name_or_path=str(model_folder("llama", **config)), target_modules=["q_proj", "k_proj",
         "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])  # fmt: skip
    with pytest.raises(ModelError, match=f"The adapter .* was made for another model than .*({message})"):
        Loader().load(saved)


def test_adapter_folders_that_are_broken(saved, tmp_path):
    def refused(message: str, name: str) -> None:
        with pytest.raises(ModelError, match=message):
            Loader().load(str(tmp_path / name))

    shutil.copytree(saved, tmp_path / "one")
    (tmp_path / "one/adapter_model.safetensors").unlink()
    refused(r"The adapter .*/one cannot be loaded: .*adapter_model\.safetensors", "one")
    shutil.copytree(saved, tmp_path / "two")
    edit(str(tmp_path / "two"), base_model_name_or_path=None)
    refused("The adapter .*/two names no model: set base_model_name_or_path", "two")
    (tmp_path / "two/adapter_config.json").write_text("{")
    refused("adapter_config.json is not valid JSON", "two")
    shutil.copytree(saved, tmp_path / "three")
    edit(str(tmp_path / "three"), peft_type="PROMPT_TUNING")
    refused("The adapter .*/three", "three")
    shutil.copytree(saved, tmp_path / "four")
    (tmp_path / "four/adapter_model.safetensors").write_bytes(b"torn")
    refused("The adapter .*/four cannot be loaded", "four")


@pytest.mark.parametrize("other", [{"r": 4}, {"r": 2, "alpha": 8}])
def test_an_adapter_of_another_rank_or_scale(saved, other):
    with pytest.raises(ModelError, match=r"To go on with the adapter .*, set its adapter\.r=2 adapter\.alpha=32\."):
        Loader(adapter=Lora(**other)).load_for_training(saved, seed=0)


def test_quantised_weights_are_not_trained(model_folder, tmp_path):
    loader = Loader(adapter=Lora(quantisation=Quantisation(everything=True)))
    loader.load(str(model_folder("llama", hidden_size=64))).save(tmp_path / "nf4")
    with pytest.raises(ModelError, match="are quantised and cannot be trained; choose adapter=lora"):
        Loader().load_for_training(str(tmp_path / "nf4"), seed=0)


@pytest.mark.parametrize(("package", "make"), [("peft", Lora), ("bitsandbytes", Quantisation)])
def test_a_missing_extra_is_named(monkeypatch, package, make):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(
        ConfigError, match=rf"needs {package}, which is not installed: pip install 'icr\[quantisation\]'"
    ):
        make()


def test_an_adapter_folder_without_peft(saved, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"The adapter .*/adapter needs peft, which is not installed"):
        Loader().renderer(saved)


@pytest.mark.parametrize(
    "wrong", [{"r": 0}, {"alpha": 0}, {"target_modules": ()}, {"target_modules": (3,)}, {"target_modules": ""}]
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Lora(**wrong)
