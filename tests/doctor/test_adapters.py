"""Adapter folders as the reward pair: examined like any model, and planned with the weights that they share."""

from __future__ import annotations

from collections.abc import Callable

import hydra
import pytest
import torch
from transformers import PreTrainedModel

from icr import config
from icr.doctor.plan.architecture import architecture
from icr.doctor.plan.memory import MemoryPlan
from icr.doctor.setup import setup_of
from icr.models import residency
from icr.models.adapters import Lora
from icr.models.loading import Loader
from icr.pocket.assets import folder

BASE, OTHER = str(folder("dpo_en")), str(folder("sft"))


@pytest.fixture
def adapter(tmp_path) -> Callable[[int], str]:
    """`adapter(seed)`: a folder with an adapter on the aligned model that changes it."""

    def make(seed: int) -> str:
        loaded = Loader(adapter=Lora(r=2, alpha=4)).load_for_training(BASE, seed)
        torch.manual_seed(seed)
        with torch.no_grad():
            for name, parameter in loaded.model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.02)
        loaded.save(tmp_path / f"adapter_{seed}")
        return str(tmp_path / f"adapter_{seed}")

    return make


LORA = ["adapter=lora", "adapter.r=2", "adapter.alpha=4"]
QUICK = ["data=pocket", "model=pocket", "sampling=pocket", "sampling.max_new_tokens=8", "scoring.tokens_per_batch=64"]


def planned(*overrides: str) -> MemoryPlan:
    """The plan's memory for prompts of four tokens."""
    with hydra.initialize_config_dir(str(config.conf_dir()), version_base="1.3"):
        settings = config.build(hydra.compose("config", [*QUICK, *overrides]))
    pair = (
        architecture(path, None, settings.model.loader)
        for path in (settings.model.path, settings.reward_pair.reference)
    )
    return MemoryPlan(settings, setup_of(settings, "cpu"), *pair, 4, 4, settings.sampling.max_new_tokens)


def bytes_of(model: PreTrainedModel) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


@pytest.mark.parametrize("trained", [["adapter=none"], LORA], ids=["all weights", "an adapter"])
def test_an_adapter_against_its_base(trained, examine, adapter):
    seen = examine("check", f"model.path={adapter(1)}", f"reward_pair.reference={BASE}", *trained)
    assert seen.status == 0, seen.output
    assert {finding["level"] for finding in seen.results["findings"]} == {"pass"}
    assert "peft" in seen.finding("packages")["seen"]
    assert "nats on average" in seen.finding("rewards")["seen"]


@pytest.mark.parametrize("trained", [None, Lora(r=2, alpha=4)], ids=["all weights", "an adapter"])
@pytest.mark.parametrize("reference", ["base", "adapter", "other"])
@pytest.mark.parametrize("turns", ["both", "one"])
def test_weights_that_the_pair_has_of_its_own(trained, reference, turns, adapter):
    """The plan against the models themselves, as a round loads them."""
    policy = adapter(1)
    reference = {"base": BASE, "adapter": adapter(2), "other": OTHER}[reference]
    choices = [f"model.path={policy}", f"reward_pair.reference={reference}", f"reward_pair.residency={turns}"]
    plan = planned(*choices, *(LORA if trained else ["adapter=none"]))

    loader = Loader(adapter=trained)
    start = loader.load_for_training(policy, 0)
    models = residency.reward_pair(loader, (policy, reference), start, "cpu", one_at_a_time=turns == "one")
    resident = sum(bytes_of(model) for model in models if isinstance(model, PreTrainedModel))
    visitors = [model.args[1] for model in models if getattr(model, "func", None) is residency.visiting]
    visiting = max((bytes_of(loader.load(path).model) for path in visitors), default=0)
    assert plan.scoring().weights == pytest.approx(bytes_of(start.model) + resident + visiting, rel=0.05)


@pytest.mark.parametrize(("reference", "size"), [(BASE, 0), (OTHER, 4 * 348576)], ids=["base", "other"])
def test_a_training_reference_under_the_adapter_takes_no_room(reference, size, adapter):
    choices = [f"model.path={adapter(1)}", f"reward_pair.reference={reference}", "training_reference=reference"]
    plan = planned(*choices, *LORA)
    assert plan.reference_logps().weights - plan.sampling().weights == size
