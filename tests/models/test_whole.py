"""A model that is not whole is refused, by whatever loads it: transformers would fill it with random numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from icr.errors import ModelError
from icr.export.weights import export_weights
from icr.models import Loader
from icr.models.whole import load_whole

LAYER = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def changed(model_folder, tmp_path: Path) -> Callable[..., Path]:
    """`changed(weights, layers)`: a copy of a model with weights changed in place, and another number of layers."""

    def copy(weights: Callable[[dict[str, torch.Tensor]], object] = lambda weights: None, layers: int = 0) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(model_folder(), folder)
        held = load_file(folder / "model.safetensors")
        weights(held)
        save_file(held, folder / "model.safetensors", {"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        config["num_hidden_layers"] += layers
        config.pop("layer_types", None)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return copy


def cut(weights: dict[str, torch.Tensor]) -> None:
    weights[LAYER] = weights[LAYER][:-1].contiguous()


def test_a_missing_weight_is_named(changed):
    folder = changed(lambda weights: weights.pop(LAYER))
    with pytest.raises(ModelError, match=rf"has not the weights {LAYER}: its files and its config\.json"):
        Loader().load(str(folder))


def test_a_layer_too_few_is_refused(changed):
    with pytest.raises(ModelError, match=r"has not the weights model\.layers\.2\.input_layernorm\.weight and \d+ more"):
        Loader().load(str(changed(layers=1)))


def test_a_layer_too_many_is_refused(changed):
    with pytest.raises(ModelError, match=r"has more layers than its config\.json, such as the weights model\.la"):
        Loader().load(str(changed(layers=-1)))


def test_another_shape_is_refused(changed):
    with pytest.raises(ModelError, match=f"has in another shape the weights {LAYER}"):
        Loader().load_for_training(str(changed(cut)), seed=0)


def test_a_sound_model_is_loaded_as_it_is(changed, model_folder):
    whole, loaded = load_whole(str(changed())), Loader().load(model_folder()).model
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), loaded.parameters(), strict=True))


def test_export_refuses_it_too(changed, tmp_path):
    from types import SimpleNamespace

    run = SimpleNamespace(model=changed(lambda weights: weights.pop(LAYER)), base=None, config={})
    with pytest.raises(ModelError, match=LAYER):
        export_weights(run, tmp_path / "out", merge=False)
