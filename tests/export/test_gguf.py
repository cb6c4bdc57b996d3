"""GGUF files through `icr export`: plain transformers opens what it leaves, and it loses nothing more."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from icr.export.__main__ import main
from icr.models.loading import Loader

MESSAGES = [{"role": "user", "content": "Name a river."}]


@pytest.fixture(params=["llama", "gemma3_text"])
def file(request, gguf_model):
    """Its blocks are of eight bits, in rows of a whole block; nothing else lies beside it."""
    config = {"hidden_size": 32, "intermediate_size": 64}
    return gguf_model(request.param, "Q8_0", **config, **({"head_dim": 32} if request.param == "gemma3_text" else {}))


@pytest.mark.parametrize("dtype", ["", "bfloat16"])
def test_plain_transformers_opens_the_folder(dtype, file, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([str(file.parent), "--to", str(out), *(["--dtype", dtype] if dtype else [])]) == 0
    assert capsys.readouterr().out == f"{file.name} (an ordinary model folder): {out}\n"
    expected = Loader(dtype=dtype or "float32").load(str(file), "cpu")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out, dtype="auto"), AutoTokenizer.from_pretrained(out)
    assert model.dtype == getattr(torch, dtype or "float32")
    own, stored = expected.model.state_dict(), model.state_dict()
    assert own.keys() == stored.keys()
    assert all(torch.equal(stored[name], values) for name, values in own.items())
    assert not any("quantization" in name for name in json.loads((out / "config.json").read_text()))
    assert tokenizer.get_vocab() == expected.renderer.tokenizer.get_vocab()
    if file.name.startswith("llama"):  # Gemma's class of tokenizers encodes nothing with this alphabet of bytes.
        ids = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=False)
        assert ids == expected.renderer.prompt_ids("Name a river.")
    assert "Q8_0, F32; " in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--merge"], "--merge is about a run"),
        (["--round", "0"], "--round is about a run"),
        (["--push", "me/model"], "--push is about a run"),
        (["--dtype", "int3"], "--dtype must be one such as"),
    ],
)
def test_what_is_refused_leaves_nothing(options, message, tmp_path, capsys):
    (tmp_path / "model.gguf").touch()
    assert main([str(tmp_path / "model.gguf"), "--to", str(tmp_path / "out"), *options]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_a_file_that_is_none(tmp_path, capsys):
    (tmp_path / "model.gguf").write_text("GGML, it says", encoding="utf-8")
    assert main([str(tmp_path / "model.gguf"), "--to", str(tmp_path / "out")]) == 2
    assert "it does not begin as a GGUF file does. Get it anew." in capsys.readouterr().err
