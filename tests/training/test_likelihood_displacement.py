"""The alarm rings when chosen responses lose likelihood, and only then."""

from types import SimpleNamespace

import pytest
import torch

from icr.training.likelihood_displacement import LikelihoodDisplacement

MODULE = SimpleNamespace(objective=SimpleNamespace(beta=0.1))


@pytest.mark.parametrize(
    ("rewards", "rings"),
    [([0.0, 0.1, 0.2, 0.3], False), ([0.0, 0.1, 0.05, -0.2], True), ([-0.5, -0.2, 0.1, -0.05], False), ([], False)],
)
def test_rings_when_the_last_quarter_is_a_nat_below_the_reference(rewards, rings, caplog):
    alarm = LikelihoodDisplacement()
    for value in rewards:
        trainer = SimpleNamespace(callback_metrics={"rewards/chosen": torch.tensor(value)})
        alarm.on_train_batch_end(trainer, MODULE)
    alarm.on_train_end(None, None)
    assert ("less likely than under the reference, by 2.0 nats" in caplog.text) == rings


def test_silent_for_an_objective_without_rewards(caplog):
    alarm = LikelihoodDisplacement()
    alarm.on_train_batch_end(SimpleNamespace(callback_metrics={"loss": torch.tensor(1.0)}), MODULE)
    alarm.on_train_end(None, None)
    assert not caplog.records
