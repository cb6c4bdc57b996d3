"""The alarm rings when chosen responses lose likelihood, and only then."""

import sys
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from icr.config.nodes import make
from icr.training.likelihood_displacement import LikelihoodDisplacement

OWN_LOSS = '''
from dataclasses import dataclass
from typing import ClassVar

from icr.losses import identity
from icr.losses.nll import with_nll


@dataclass(frozen=True)
class Contrast:
    """Log-ratio of rejected less log-ratio of chosen, times a weight: no beta."""

    weight: float = 1.0

    needs_rejected: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = True
    needs_partner: ClassVar[bool] = False

    def __call__(self, policy, reference, totals, all_reduce=identity):
        chosen, rejected = policy.chosen - reference.chosen, policy.rejected - reference.rejected
        losses = self.weight * (rejected - chosen)
        return with_nll(losses, chosen.detach(), rejected.detach(), policy, totals, alpha=0, nll_reduction="sequence")
'''


@pytest.mark.parametrize(
    ("log_ratios", "rings"),
    [([0, 1, 2, 3], False), ([0, 1, 0.5, -2], True), ([-5, -2, 1, -0.5], False), ([], False)],
)
def test_rings_when_the_last_quarter_is_a_nat_below_the_reference(log_ratios, rings, caplog):
    alarm = LikelihoodDisplacement()
    for value in log_ratios:
        trainer = SimpleNamespace(callback_metrics={"logps/chosen_ratio": torch.tensor(float(value))})
        alarm.on_train_batch_end(trainer, None)
    alarm.on_train_end(None, None)
    assert ("less likely than under the reference, by 2.0 nats" in caplog.text) == rings


def test_silent_for_an_objective_without_a_reference(caplog):
    alarm = LikelihoodDisplacement()
    alarm.on_train_batch_end(SimpleNamespace(callback_metrics={"loss": torch.tensor(1.0)}), None)
    alarm.on_train_end(None, None)
    assert not caplog.records


@pytest.mark.parametrize(("weight", "rings"), [(0.01, False), (-1.0, True)])
def test_a_loss_of_ones_own_without_beta_is_trained_and_watched(weight, rings, train, tmp_path, monkeypatch, caplog):
    (tmp_path / "own_losses.py").write_text(OWN_LOSS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_losses", raising=False)
    loss = make(OmegaConf.create({"loss": {"_target_": "own_losses.Contrast", "weight": weight}}), "loss")
    run = train(loss, lr=0.02)
    assert (run / "round_0/model/model.safetensors").is_file()
    assert ("chosen responses became less likely than under the reference" in caplog.text) == rings
