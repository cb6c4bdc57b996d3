"""Models in GGUF files: read whole, as what they are; and anything else refused in one sentence."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from icr.errors import ConfigError, ModelError
from icr.models import Loader, Lora
from icr.models.adapters import Quantisation
from icr.models.classifier import check_classifier
from icr.models.configuration import configuration, context_length
from icr.models.folder import base_of, check_exists
from icr.models.gguf import GgufFile, from_pretrained_of, gguf_file
from icr.models.gguf_header import Header
from icr.models.gguf_reading import scale_attention
from icr.models.residency import reward_pair
from icr.models.whole import check_files
from icr.rundir import fingerprint
from tests.tiny_gguf import TOKENS, write_gguf
from tests.tiny_models import BOS, EOS, PAD

IDS = torch.tensor([[BOS, 4, 70, 71, 72, 226, 262, 226, 133, 108, 5, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89]])
SIZE = {"vocab_size": len(TOKENS)}
GEMMA = {**SIZE, "final_logit_softcapping": None, "tie_word_embeddings": True}
"""Of no cap does a file of Gemma 3 tell, and it has no head of its own."""


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def refused(path, **settings) -> str:
    with pytest.raises((ModelError, ConfigError)) as error:
        Loader(**settings).load(str(path))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("path", "source", "name", "local"),
    [
        ("models/x.gguf", "models", "x.gguf", True),
        ("x.GGUF", ".", "x.GGUF", True),
        ("/models/deep/er/x.gguf", "/models/deep/er", "x.gguf", True),
        ("./owner/name/x.gguf", "owner/name", "x.gguf", True),
        ("owner/name/x.gguf", "owner/name", "x.gguf", False),
        ("owner/name/Q4/x.gguf", "owner/name", "Q4/x.gguf", False),
    ],
)
def test_what_a_path_names(path, source, name, local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gguf_file(path) == GgufFile(source, name, local)
    assert from_pretrained_of(path) == (source, {"gguf_file": name})
    assert base_of(path) is None


def test_what_is_on_disk_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner/name").mkdir(parents=True)
    assert gguf_file("owner/name/x.gguf") == GgufFile("owner/name", "x.gguf", local=True)
    (tmp_path / "folder.gguf").mkdir()
    assert gguf_file("folder.gguf") is None
    assert gguf_file("owner/name") is None


@pytest.mark.parametrize(("family", "config"), [("llama", SIZE), ("tied", SIZE), ("gemma3_text", GEMMA)])
def test_the_model_is_the_one_that_was_written(family, config, gguf_model, shared_model):
    loaded = Loader().load(str(gguf_model(family, **config)))
    assert torch.equal(logits(loaded.model), logits(shared_model(family, **config)))
    assert loaded.model.dtype == torch.float32
    assert (loaded.model.config.bos_token_id, loaded.model.config.eos_token_id) == (BOS, EOS)
    assert loaded.model.generation_config.pad_token_id == PAD


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_0", "Q4_1"])
def test_weights_are_what_the_package_gguf_makes_of_the_blocks(kind, gguf_model, make_model):
    expected, type = make_model(**SIZE), gguf.GGMLQuantizationType[kind]
    for parameter in expected.parameters():
        if parameter.ndim > 1:
            # Blocks lie within rows, so that the heads' order of rows does not matter.
            values = gguf.dequantize(gguf.quantize(parameter.detach().numpy(), type), type)
            parameter.data = torch.from_numpy(values)
    loaded = Loader().load(str(gguf_model("llama", kind, **SIZE))).model
    for name, parameter in loaded.named_parameters():
        assert torch.equal(parameter, expected.get_parameter(name)), name
    assert not torch.equal(logits(loaded), logits(make_model(**SIZE)))


def test_the_dtype_is_the_loaders_and_all_weights_can_be_trained(gguf_model):
    start = Loader(dtype="bfloat16").load_for_training(str(gguf_model(kind="Q8_0")), 0)
    assert {parameter.dtype for parameter in start.model.parameters()} == {torch.bfloat16}
    start.model(IDS, labels=IDS).loss.backward()
    assert all(parameter.grad is not None for parameter in start.model.parameters())


def test_what_is_saved_is_an_ordinary_folder_with_the_template_that_was_given(gguf_model, tmp_path):
    template = "{{ bos_token }}{% for m in messages %}[{{ m.content }}]<end>{% endfor %}"
    loaded = Loader(chat_template=template).load(str(gguf_model(kind="Q8_0")))
    loaded.save(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert "quantization_config" not in written
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == EOS
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".gguf"]
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert torch.equal(logits(plain), logits(loaded.model))
    assert tokenizer.chat_template == template
    assert tokenizer.get_vocab() == loaded.renderer.tokenizer.get_vocab()
    assert tokenizer("the — แม่น้ำ").input_ids == loaded.renderer.tokenizer("the — แม่น้ำ").input_ids


def test_the_tokenizer_is_the_files(gguf_model, make_tokenizer):
    renderer = Loader().renderer(str(gguf_model()))
    assert renderer.tokenizer.convert_tokens_to_ids(TOKENS) == [*range(len(TOKENS))]
    assert renderer.tokenizer.decode(renderer.prompt_ids("the — নদী")) == "<bos><user>the — নদী<assistant>"
    plain = make_tokenizer().apply_chat_template(
        [{"role": "user", "content": "xyz — নদী"}], add_generation_prompt=True, return_dict=False
    )
    assert renderer.prompt_ids("xyz — নদী") == plain
    assert renderer.response_ids("th")[:-1] == [len(TOKENS) - 1]


def test_no_text_has_a_token_that_the_file_has_not(gguf_model, tmp_path):
    loaded = Loader().load(str(gguf_model()))
    loaded.save(tmp_path)
    for tokenizer in (loaded.renderer.tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        assert len(tokenizer) == len(TOKENS)
        ids = tokenizer("<|endoftext|>").input_ids
        assert len(ids) == 13
        assert tokenizer.decode(ids) == "<|endoftext|>"
        assert tokenizer.special_tokens_map == {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}


def test_tokenizers_are_not_shared(gguf_model):
    path = str(gguf_model())
    Loader(pad_token="<end>", chat_template="{{ messages[0].content }}").renderer(path)
    assert Loader().renderer(path).tokenizer.pad_token == "<pad>"
    configuration(path).vocab_size = 1
    assert configuration(path).vocab_size == len(TOKENS)


def test_a_file_that_is_written_anew_is_read_anew(make_model, tmp_path):
    for positions in (64, 128):
        write_gguf(make_model(max_position_embeddings=positions, **SIZE), tmp_path / "x.gguf")
        assert context_length(str(tmp_path / "x.gguf")) == positions


def test_an_adapter_names_the_file_and_comes_back(gguf_model, tmp_path, monkeypatch):
    file = gguf_model(kind="Q8_0")
    monkeypatch.chdir(file.parent)
    start = Loader(adapter=Lora(r=2)).load_for_training(file.name, 0)
    for name, parameter in start.model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    start.save(tmp_path / "adapter")
    assert base_of(str(tmp_path / "adapter")) == str(file)
    again, plain = Loader().load(str(tmp_path / "adapter")), Loader().load(str(file))
    assert torch.equal(logits(again.model), logits(start.model))
    assert not torch.allclose(logits(again.model), logits(plain.model), atol=0.01)
    merged = Loader().load_merged(str(tmp_path / "adapter"))
    torch.testing.assert_close(logits(merged.model), logits(again.model), atol=1e-4, rtol=0)
    policy, reference = reward_pair(
        Loader(), (start.path, str(file)), again, "cpu", one_at_a_time=False
    )  # Under both names of the file its weights are one.
    with policy() as under, reference() as model:
        assert under is model is again.model
        assert torch.equal(logits(model), logits(plain.model))


def test_content_counts_and_not_the_name(gguf_model, make_model, tmp_path):
    file = gguf_model()
    before = fingerprint.of_model(str(file))
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    assert fingerprint.of_model(str(copy)) == before
    for name in ("other.gguf", "notes.txt", "doctor.json", "model.safetensors"):
        (tmp_path / name).write_text("x")
    assert fingerprint.of_model(str(copy)) == before
    (tmp_path / "tokenizer.json").write_text("x")
    assert fingerprint.of_model(str(copy)) != before
    assert fingerprint.of_model(str(gguf_model(seed=1))) != before
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    hashes = set()
    for base in (file, gguf_model(seed=1)):
        (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
        hashes.add(fingerprint.of_model(str(adapter)))
    assert len(hashes) == 2


def test_a_file_that_is_not_there_and_parts_of_one(gguf_model, tmp_path):
    file = gguf_model()
    message = refused(file.with_name("lama-F32.gguf"))
    assert "lama-F32.gguf does not exist. Did you mean " in message
    assert message.endswith("/llama-F32.gguf?")
    assert "is one part of a GGUF file that was split" in refused(tmp_path / "x-00001-of-00003.gguf")
    assert "cannot be read: " in refused("owner/name/x.gguf")


def test_a_part_under_another_name(make_model, tmp_path):
    file = write_gguf(make_model(**SIZE), tmp_path / "x.gguf", metadata={"split.count": 2})
    assert "is one part of a GGUF file that was split" in refused(file)


@pytest.mark.parametrize("missing", ["gguf", "accelerate"])
def test_a_package_that_is_missing(gguf_model, missing, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    with pytest.raises(ConfigError, match=rf"needs {missing} to be read.*pip install 'icr\[gguf\]'\.$"):
        check_exists(str(gguf_model()))


def test_a_family_that_transformers_does_not_read(make_model, tmp_path):
    file = write_gguf(make_model(**SIZE), tmp_path / "x.gguf")
    file.write_bytes(file.read_bytes().replace(b"llama", b"clamp"))
    assert "cannot be loaded: GGUF model with architecture clamp is not supported yet" in refused(file)


def test_weights_that_the_model_has_no_place_for_or_lacks(make_model, tmp_path):
    model = make_model(**SIZE)
    bias = {"blk.0.attn_q.bias": np.ones(32, dtype=np.float32)}
    message = refused(write_gguf(model, tmp_path / "more.gguf", extra=bias))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert f"has {count + 32:,} weights, and the LlamaForCausalLM that transformers makes of it {count:,}" in message
    less = refused(write_gguf(model, tmp_path / "less.gguf", without="blk.1.ffn_up"))
    assert "has not the weights model.layers.1.mlp.up_proj.weight" in less


def test_a_tokenizer_without_a_template(make_model, tmp_path):
    file = write_gguf(make_model(**SIZE), tmp_path / "x.gguf", template=None)
    assert "has no chat template" in refused(file)


def test_uses_that_it_has_not(gguf_model):
    file = str(gguf_model())
    four_bits = Lora(quantisation=Quantisation(everything=True))
    assert f"adapter=qlora cannot take a GGUF file, and {file} is one" in refused(file, adapter=four_bits)
    with pytest.raises(ConfigError, match=r"icr export .*llama-F32\.gguf --to <folder>"):
        Loader(adapter=Lora(quantisation=Quantisation())).load_for_training(file, 0)
    with pytest.raises(ConfigError, match=r"reward\.path cannot take a GGUF file"):
        check_classifier(file)


def test_a_file_cut_short_anywhere(gguf_model, tmp_path):
    content = gguf_model().read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in (*range(0, 6000, 97), len(content) // 2, len(content) - 1):
        cut.write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"cut\.gguf cannot be used: it.*Get it anew\.$"):
            check_files(str(cut))
    cut.write_bytes(content)
    check_files(str(cut))


@pytest.mark.parametrize(
    ("family", "layers", "hidden", "published"),
    [("gemma2", 46, 4608, 144), ("gemma3", 62, 5376, 168), ("gemma2", 42, 3584, 256), ("gemma3", 48, 3840, 256)],
    ids=["Gemma 2 27B", "Gemma 3 27B", "Gemma 2 9B", "Gemma 3 12B"],
)
def test_attention_is_scaled_as_in_the_published_configurations(family, layers, hidden, published):
    kind = {"gemma2": "gemma2", "gemma3": "gemma3_text"}[family]
    heads = 32 if layers in (46, 62) else 16
    config = AutoConfig.for_model(kind, num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads)
    scale_attention(config, Header(Path("x.gguf"), {"general.architecture": family}, {}))
    assert config.query_pre_attn_scalar == published
