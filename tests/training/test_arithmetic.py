"""What reaches a training step, and what is saved of it, in every arithmetic."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import HalfPrecision

from icr.data.datamodule import CrossLingualPairDataModule
from icr.logps import lay_out, token_logps
from icr.losses import DPO, KTO
from icr.models.arithmetic import Arithmetic
from icr.models.loading import Loader
from icr.modules.preference import PreferenceModule
from icr.modules.schedule import Schedule
from icr.training.precision import ARITHMETIC, PRECISIONS, RoundedByDeepSpeed, plugin

LONG = [([3, 4, 5], [*range(10, 90)] * 12)]
"""960 tokens: where rounded frequencies of positions are off by a nat per token."""


@pytest.fixture
def folder(model_folder) -> str:
    """A Llama that takes 2048 positions."""
    return str(model_folder(max_position_embeddings=2048))


def trained(folder: str, pairs, objective, plugins) -> tuple[PreferenceModule, list]:
    """A module after its training of one step, and the batches as they came to it."""
    module = PreferenceModule(
        Loader().load(folder).model.train(), objective, lambda p: torch.optim.SGD(p, lr=1e-3), Schedule()
    )
    seen = []
    step = module.training_step
    module.training_step = lambda batch, batch_idx: (seen.append(batch), step(batch, batch_idx))[1]
    datamodule = CrossLingualPairDataModule(global_batch_size=5, micro_batch_size=5)
    datamodule.set_pairs(pairs, objective, (0,))
    Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, plugins=plugins,
    ).fit(module, datamodule=datamodule)  # fmt: skip
    return module, seen


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_reference_log_probs_reach_the_step_in_float64(folder, bare_pairs, with_reference, make_model, precision):
    pairs = with_reference(bare_pairs(), make_model())
    _, (batch,) = trained(folder, pairs, KTO(beta=0.1, alpha=1.0), [plugin(precision, "cpu")])
    for values in (batch.reference.chosen, batch.reference.rejected, batch.mismatched.reference):
        assert values.dtype == torch.float64
    assert batch.reference.chosen.tolist() == [
        {pair.key: pair for pair in pairs}[key].reference_chosen_logp for key in batch.keys
    ]


def test_deepspeed_leaves_batches_alone():
    values = torch.tensor([-300.123], dtype=torch.float64)
    assert RoundedByDeepSpeed("bf16-mixed").convert_input({"reference": values})["reference"] is values


@pytest.mark.filterwarnings("ignore")
def test_frequencies_that_a_strategy_rounds_are_put_back(folder, bare_pairs):
    """As DeepSpeed's engine does, and Lightning's own plugin: the whole module in 16 bits."""
    module, _ = trained(folder, bare_pairs(), DPO(beta=0.1, alpha=1.0), [HalfPrecision("bf16-true")])
    fresh = Loader().load(folder).model
    assert {p.dtype for p in module.policy.parameters()} == {torch.bfloat16}
    buffers = dict(module.policy.named_buffers())
    assert buffers
    for name, buffer in fresh.named_buffers():
        assert torch.equal(buffers[name], buffer), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_was_trained_is_what_is_saved(folder, bare_pairs, tmp_path, precision):
    """The saved model, loaded anew, gives the log-probs that the trained one gave, up to 960 tokens."""
    arithmetic = ARITHMETIC[precision]
    start = Loader().load(folder)
    arithmetic.prepare(start.model)
    objective = DPO(beta=0.1, alpha=1.0)
    module = PreferenceModule(start.model.train(), objective, lambda p: torch.optim.SGD(p, lr=0.1), Schedule())
    datamodule = CrossLingualPairDataModule(global_batch_size=5, micro_batch_size=5)
    datamodule.set_pairs(bare_pairs(), objective, (0,))
    Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, plugins=[plugin(precision, "cpu")],
    ).fit(module, datamodule=datamodule)  # fmt: skip
    start.model.eval()
    start.save(tmp_path / "saved")
    again = Loader(dtype=arithmetic.weights or "float32").load(str(tmp_path / "saved"))
    arithmetic.prepare(again.model)
    before = Loader().load(folder).model
    assert logps(before, Arithmetic()).sub(logps(start.model, arithmetic)).abs().max() > 1e-3  # It was trained.
    assert torch.equal(logps(again.model, arithmetic), logps(start.model, arithmetic))


def logps(model, arithmetic: Arithmetic) -> torch.Tensor:
    """Of a long sequence."""
    with arithmetic.scoring(model.device):
        return token_logps(model, lay_out(LONG))
