"""A run directory with real models in it: whole ones, and an adapter on a base of its own."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
from omegaconf import OmegaConf

from icr.config import conf_dir
from icr.rundir import Key, Layout, RunDirectory
from icr.rundir.layout import round_stages
from tests.report.fake_run import write_fake_run

BASE = "princeton-nlp/Llama-3-Base-8B-SFT-DPO"


@pytest.fixture
def finished(tmp_path, model_folder):
    """`finished(*overrides, **models)`: a run directory; `models` names the folder of a round (`round_1=folder`)."""

    def make(*overrides: str, **models: Path) -> Path:
        directory = write_fake_run(tmp_path / "run", rounds=2)
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = hydra.compose("config", ["experiment=paper_dpo", "data.dir=/home/me/secret-prompts", *overrides])
        layout = Layout(directory)
        layout.config.write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")
        folders = {"round_0": model_folder(), "round_1": model_folder(seed=1), **models}
        stages = [round_stages(number).model for number in (0, 1)]
        store = RunDirectory(directory, dict.fromkeys(stages, Key({}, {})))
        for stage, model in zip(stages, (folders["round_0"], folders["round_1"]), strict=True):
            copied = functools.partial(shutil.copytree, model, dirs_exist_ok=True)
            store.folder(stage, lambda copied=copied: SimpleNamespace(save=copied))
        return directory

    return make


@pytest.fixture
def adapter(tmp_path, make_model, make_tokenizer):
    """`adapter(dtype)`: folders of a base model in that dtype and of a LoRA adapter on it, with random weights."""
    import peft
    import torch

    def make(dtype: str = "float32") -> tuple[Path, Path]:
        model = make_model(seed=2).to(getattr(torch, dtype))
        base, folder = tmp_path / "base", tmp_path / "adapter"
        model.save_pretrained(base)
        make_tokenizer().save_pretrained(base)
        config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])
        wrapped = peft.get_peft_model(type(model).from_pretrained(base, dtype=torch.float32), config)
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.2)
        wrapped.save_pretrained(folder)
        make_tokenizer().save_pretrained(folder)
        return base, folder

    return make
