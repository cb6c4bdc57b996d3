"""What saves memory in training changes no number: recomputed activations, checkpoints of what is trained."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from icr.data.datamodule import CrossLingualPairDataModule
from icr.errors import ModelError, RunError
from icr.logps import lay_out, token_logps
from icr.losses import DPO
from icr.models.adapters import Lora
from icr.models.loading import Loader
from icr.models.memory import checkpoint_activations
from icr.modules.preference import PreferenceModule
from icr.modules.schedule import Schedule

SEQUENCES = [(list(range(10, 30)), [40, 41, 42, 2]), (list(range(10, 30)), [50, 2]), ([7, 8], [9])]


def start(folder, adapter: bool):
    """A model as a training starts from it, its adapter not zero."""
    loader = Loader(adapter=Lora(r=2) if adapter else None)
    model = loader.load_for_training(str(folder), seed=0).model
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data += 0.1
    return model.train()


def loss_and_gradients(model) -> tuple[float, dict[str, torch.Tensor], int]:
    """Of a shared-prompt layout, and how often the first layer's attention ran."""
    runs = Counter()
    model.get_decoder().layers[0].self_attn.register_forward_hook(lambda *_: runs.update(["attention"]))
    layout = lay_out(SEQUENCES, [[0, 1], [2]])
    with torch.no_grad():
        token_logps(model, layout)
    runs.clear()
    loss = token_logps(model, layout).square().sum()
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.requires_grad}, runs["attention"]


@pytest.mark.parametrize("adapter", [False, True], ids=["all weights", "adapter"])
@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen3"])
def test_recomputed_activations_change_no_number(model_folder, family, adapter):
    plain, checkpointed = (start(model_folder(family), adapter) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint_activations(checkpointed)
        loss, gradients, runs = loss_and_gradients(plain)
        same_loss, same_gradients, twice = loss_and_gradients(checkpointed)
    assert (runs, twice) == (1, 2)
    assert same_loss == pytest.approx(loss, abs=1e-6)
    assert gradients.keys() == same_gradients.keys()
    for name, gradient in gradients.items():
        np.testing.assert_allclose(same_gradients[name], gradient, rtol=1e-5, atol=1e-6, err_msg=name)
    assert all((".lora_" in name) == adapter for name in gradients)
    assert any(float(gradient.abs().max()) > 0.01 for gradient in gradients.values())


def test_a_family_that_cannot_is_named(make_model):
    model = make_model()
    type(model).supports_gradient_checkpointing, before = False, type(model).supports_gradient_checkpointing
    try:
        with pytest.raises(ModelError, match=r"trainer\.gradient_checkpointing: LlamaForCausalLM does not support"):
            checkpoint_activations(model)
    finally:
        type(model).supports_gradient_checkpointing = before


@pytest.mark.parametrize("adapter", [False, True], ids=["all weights", "adapter"])
def test_a_checkpoint_holds_what_is_trained(model_folder, bare_pairs, with_reference, tmp_path, adapter):
    model = start(model_folder(), adapter)
    pairs = with_reference(bare_pairs(), model)
    objective = DPO(beta=0.1, alpha=1.0)
    datamodule = CrossLingualPairDataModule(global_batch_size=3, micro_batch_size=3, epochs=1, max_steps=1)
    datamodule.set_pairs(pairs, objective, (0,))
    module = PreferenceModule(model, objective, lambda p: torch.optim.SGD(p, lr=0.1), Schedule())
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.fit(module, datamodule=datamodule)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    held = torch.load(tmp_path / "one.ckpt", weights_only=True)["state_dict"]
    assert held.keys() == {f"logps.policy.{name}" for name, p in model.named_parameters() if p.requires_grad}
    again = PreferenceModule(start(model_folder(), adapter), objective, module.optimizer, Schedule())
    again.on_load_checkpoint({"state_dict": held})
    again.load_state_dict(held, strict=again.strict_loading)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), module.parameters(), strict=True))
    held.pop("logps.policy.model.norm.weight" if not adapter else min(held))
    with pytest.raises(RunError, match=r"The checkpoint of this training lacks logps\.policy\."):
        again.on_load_checkpoint({"state_dict": held})
