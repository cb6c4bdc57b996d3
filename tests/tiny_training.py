"""Fixtures: training on a handful of pairs, as a run does it, with everything recorded."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from icr.data.datamodule import CrossLingualPairDataModule
from icr.losses import DPO, KTO
from icr.models.arithmetic import Arithmetic
from icr.models.loading import LoadedModel
from icr.modules.preference import PreferenceModule
from icr.modules.schedule import Schedule
from icr.rounds.pairs import with_partners
from icr.rounds.reference import reference_logps, with_reference_logps
from icr.types import PreferencePair

END = 2
CONSTANT = Schedule()


def ids(length: int, seed: int) -> list[int]:
    return torch.randint(6, 262, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.fixture(scope="session")
def bare_pairs():
    """`bare_pairs(count, languages)`: pairs of lengths that differ, some responses the end token alone."""

    def make(count: int = 5, languages=("en", "sw")) -> list[PreferencePair]:
        pairs = []
        for i in range(count):
            chosen, rejected = [*ids(5 * i % 11, 100 + i), END], [*ids((3 * i + 1) % 7, 200 + i), END]
            code = languages[i % len(languages)]
            pairs.append(
                PreferencePair(str(i), code, "", "", "", prompt_ids=ids(2 + 7 * (i % 4), i), chosen_ids=chosen,
                               rejected_ids=rejected)
            )  # fmt: skip
        return pairs

    return make


@pytest.fixture(scope="session")
def with_reference(loaded):
    """`with_reference(pairs, model)`: partners and the log-probs of `model` as training reference."""

    def make(pairs, model, partners=True):
        return referenced(with_partners(pairs) if partners else pairs, loaded(model), partners=partners)

    return make


def referenced(pairs, reference: LoadedModel, *, partners: bool, on_batch=lambda done: None, micro=3, batch=6):
    """The pairs with the reference's log-probs, scored in micro-batches of three pairs."""
    datamodule = CrossLingualPairDataModule(global_batch_size=batch, micro_batch_size=micro)
    objective = KTO(beta=0.1, alpha=1.0) if partners else DPO(beta=0.1, alpha=1.0)
    known = reference_logps(datamodule.one_pass(pairs, objective, (0,)), reference, Arithmetic(), on_batch)
    return with_reference_logps(pairs, [known])


@dataclass
class Recorder(Callback):
    """Metrics and gradients of each optimiser step."""

    metrics: list[dict[str, float]] = field(default_factory=list)
    gradients: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.gradients.append({n: p.grad.clone() for n, p in pl_module.policy.named_parameters()})

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step > len(self.metrics):
            self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    @property
    def losses(self) -> list[float]:
        return [metrics["loss"] for metrics in self.metrics]


@pytest.fixture(scope="session")
def fit():
    """`fit(model, pairs, objective, …)`: train `model` in place, and return what was recorded.

    With `ordered`, the pairs are trained on in the order given.
    """

    def run(
        model,
        pairs,
        objective,
        *,
        micro=3,
        batch=3,
        epochs=1,
        max_steps=None,
        lr=0.02,
        optimizer=torch.optim.SGD,
        schedule=CONSTANT,
        seed=(0,),
        ordered=False,
    ) -> Recorder:
        datamodule = CrossLingualPairDataModule(
            global_batch_size=batch, micro_batch_size=micro, epochs=epochs, max_steps=max_steps
        )
        datamodule.set_pairs(pairs, objective, seed)
        if ordered:
            inverse = sorted(range(len(pairs)), key=datamodule.plan._order(0).__getitem__)
            datamodule.set_pairs([pairs[i] for i in inverse], objective, seed)
        module = PreferenceModule(model.train(), objective, lambda p: optimizer(p, lr=lr), schedule)
        recorder = Recorder()
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = Trainer(
                accelerator="cpu",
                max_epochs=1,
                accumulate_grad_batches=datamodule.accumulate,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[recorder],
            )
            trainer.fit(module, datamodule=datamodule)
        model.eval()
        return recorder

    return run
