"""Model folders, and what is wrong with them."""

from __future__ import annotations

import errno
import json
import shutil

import pytest
import torch
from safetensors import SafetensorError

from icr.errors import ModelError
from icr.models.adapters import Lora
from icr.models.configuration import context_length
from icr.models.folder import check_exists
from icr.models.loading import LoadedModel, Loader
from icr.models.tokenizer import check_same_vocabulary


@pytest.fixture
def broken(model_folder, tmp_path):
    """`broken(key=value)`: a model folder whose tokenizer configuration has these entries (None: removed)."""

    def make(**entries):
        folder = tmp_path / "model"
        shutil.copytree(model_folder(), folder)
        path = folder / "tokenizer_config.json"
        settings = json.loads(path.read_text()) | entries
        path.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))
        (folder / "special_tokens_map.json").unlink(missing_ok=True)
        return folder

    return make


def refused(path, **settings) -> str:
    with pytest.raises(ModelError) as error:
        Loader(**settings).renderer(str(path))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_model_is_loaded_frozen_where_asked_and_saved_as_an_ordinary_folder(model_folder, tmp_path):
    loaded = Loader(frozen=("embed_tokens",)).load(str(model_folder()))
    assert not loaded.model.training
    assert {name for name, p in loaded.model.named_parameters() if not p.requires_grad} == {"model.embed_tokens.weight"}
    loaded.save(tmp_path / "saved")
    again = Loader().load(str(tmp_path / "saved"))
    before, after = loaded.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert again.renderer.prompt_ids("a") == loaded.renderer.prompt_ids("a")


def test_random_weights_depend_on_the_seed_alone(model_folder):
    def weights(seed):
        return Loader().initialise(str(model_folder()), seed).model.lm_head.weight

    state = torch.random.get_rng_state()
    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_folder_that_does_not_exist(tmp_path):
    (tmp_path / "llama-sft-dpo").mkdir()
    with pytest.raises(ModelError) as error:
        check_exists(f"{tmp_path}/llama-sft-dop")
    expected = f"The model folder {tmp_path}/llama-sft-dop does not exist. Did you mean {tmp_path}/llama-sft-dpo?"
    assert str(error.value) == expected


@pytest.mark.parametrize("path", ["./none", "/none", "a/b/c", "none"])
def test_what_cannot_be_a_hub_name_is_a_folder(path):
    with pytest.raises(ModelError, match="does not exist"):
        check_exists(path)


def test_a_hub_name_is_left_to_transformers_which_says_why_it_cannot_be_had():
    check_exists("owner/name")
    assert "The tokenizer of owner/name cannot be loaded: " in refused("owner/name")


def test_a_folder_without_a_model(tmp_path):
    assert "has no config.json; give a folder that save_pretrained wrote" in refused(tmp_path)


def test_a_tokenizer_without_a_chat_template(broken):
    folder = broken(chat_template=None)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    assert "has no chat template" in refused(folder)


def test_a_tokenizer_without_an_end_token(broken):
    assert "has no end token; set `eos_token` in its tokenizer_config.json" in refused(broken(eos_token=None))


def test_a_tokenizer_without_a_pad_token(broken):
    folder = broken(pad_token=None)
    assert "has no pad token; give one with model.loader.pad_token='<eos>'" in refused(folder)
    assert Loader(pad_token="<eos>").renderer(str(folder)).tokenizer.pad_token_id == 3


def test_a_pad_token_that_the_tokenizer_has_not(broken):
    message = refused(broken(pad_token=None), pad_token="<padding>")
    assert "model.loader.pad_token: the tokenizer of" in message
    assert "has no token '<padding>'" in message


def test_a_folder_without_weights(model_folder, tmp_path):
    shutil.copytree(model_folder(), tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ModelError, match=r"The model .*/model cannot be loaded: .*model.safetensors"):
        Loader().load(str(tmp_path / "model"))


def test_a_configuration_that_is_not_json(model_folder, tmp_path):
    shutil.copytree(model_folder(), tmp_path / "model")
    (tmp_path / "model/config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Loader().load(str(tmp_path / "model"))


def test_different_vocabularies(make_tokenizer, loaded, shared_model):
    ours, theirs = loaded(shared_model()).renderer, loaded(shared_model()).renderer
    check_same_vocabulary(ours, theirs, "policy", "reference")
    theirs.tokenizer.add_tokens(["<tool>"])
    with pytest.raises(ModelError) as error:
        check_same_vocabulary(ours, theirs, "policy", "reference")
    assert str(error.value) == (
        "The reward pair has different vocabularies: policy policy (262 tokens) and reference reference (263 tokens) "
        "differ in 1 tokens, such as '<tool>' (None against 262). Both must come from the same tokenizer."
    )


def test_dtypes_are_torchs():
    assert Loader(dtype="bfloat16").dtype == "bfloat16"
    for wrong in ("float3", "nn", "manual_seed"):
        with pytest.raises(ValueError, match="dtype must be a torch dtype such as float32 or bfloat16"):
            Loader(dtype=wrong)


def test_the_context_is_the_configurations(model_folder):
    assert context_length(str(model_folder("llama", max_position_embeddings=77))) == 77


def test_a_full_disk_while_weights_are_written(loaded, shared_model, tmp_path, monkeypatch):
    model = shared_model()

    def full(folder):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(model, "save_pretrained", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        LoadedModel(model, loaded(model).renderer, "tiny").save(tmp_path)
    assert error.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        (
            ("embed_tokns",),
            "'embed_tokns' is in the name of no weight of this model; one is called 'model.embed_tokens",
        ),
        (("embed_tokens", "haed"), "'haed' is in the name of no weight"),
        (("model", "lm_head"), "leaves nothing to train: every weight that would be, such as 'lm_head.weight'"),
        (("",), "leaves nothing to train"),
    ],
)
def test_frozen_names_that_match_nothing_or_everything(frozen, message, model_folder):
    with pytest.raises(ModelError, match=r"^model\.loader\.frozen") as error:
        Loader(frozen=frozen).load_for_training(str(model_folder(tie_word_embeddings=False)), 0)
    assert message in str(error.value)


def test_frozen_names_of_all_of_an_adapter(model_folder):
    loader = Loader(frozen=("lora",), adapter=Lora(r=2))
    with pytest.raises(ModelError, match="leaves nothing to train"):
        loader.load_for_training(str(model_folder()), 0)
